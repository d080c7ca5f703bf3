//  How much memory live sequences and snapshots may take together, and what a sequence takes.

import DualityCore
import DualityQuant

/// The memory of a serving engine, in bytes.
struct ServingBudget: Sendable {
    let bytes: Int
    let maxModelLength: Int
    let workspaceBytes: Int
    /// Of a live sequence beside its keys and values.
    let stateBytes: Int
    /// Of the keys and values of a page of tokens.
    let pageSetBytes: Int
    /// G of the prefix tree.
    let grid: Int

    /// What paths of the tree may take.
    var pathBytes: Int { bytes / 100 }
    /// What caches may take.
    var cacheBytes: Int { bytes - pathBytes }

    /// The part of what is free that is taken where no budget is given.
    private static let share = 0.6
    /// More than any machine has, and few enough to reckon with: 16 TiB.
    private static let most = 1 << 44

    /// - Throws: `InputError` (`.value`) for limits that cannot be kept, with what could.
    init(_ model: QuantModel, _ limits: ServingLimits) throws(InputError) {
        try Self.check("max_num_seqs", limits.maxSequences, 1)
        try Self.check("max_queue", limits.maxQueue, 0)
        try limits.maxBatchedTokens.map { rows throws(InputError) in
            try Self.check("max_num_batched_tokens", rows, 1)
        }
        guard limits.decodeSlowdown >= 1, limits.decodeSlowdown.isFinite else {
            throw InputError(
                .value, in: "decode_slowdown", expected: "a number, at least 1", found: "\(limits.decodeSlowdown)")
        }
        guard limits.stateDirectory == nil || !limits.modelIdentity.isEmpty else {
            throw InputError(
                .value, in: "state_dir", expected: "a name of the model, against which its files are checked",
                found: "none")
        }
        maxModelLength = try Self.length(model, limits)
        workspaceBytes = try model.workspaceBytes(rows: min(512, maxModelLength))
        (stateBytes, pageSetBytes) = (model.stateBytes, model.pageSetBytes)
        grid = PlacementPlan.grid(
            snapshotBytes: stateBytes, pageSetBytes: pageSetBytes, pageTokens: QuantCache.pageTokens)
        let needed = Self.needed(model, tokens: maxModelLength, pageSetBytes)
        if let given = limits.cacheMemory {
            bytes = min(given, Self.most)
        } else if let free = MemoryNeed.available() {
            let mapped = limits.weightsAreMapped ? model.weightBytes : 0
            bytes = max(Int(Double(max(free - workspaceBytes - mapped, 0)) * Self.share), 0)
        } else {
            bytes = 4 * needed
        }
        guard cacheBytes >= needed else {
            throw InputError(
                .value, in: "cache_memory",
                expected: "\(Self.text(needed)) for one sequence of \(maxModelLength) tokens",
                found: Self.text(bytes), remedy: Self.remedy(model, bytes - bytes / 100, pageSetBytes))
        }
    }

    /// Budget, a snapshot and a token, for people.
    func summary(_ model: QuantModel) -> String {
        let token = pageSetBytes / QuantCache.pageTokens
        return "\(Self.text(bytes)) for sequences and snapshots: \(Self.text(stateBytes)) a snapshot, "
            + "\(Self.text(token)) a token, snapshots every \(grid) tokens of a long prompt"
    }

    /// - Parameter tokens: of one sequence, which copies a page when it is shared.
    private static func needed(_ model: QuantModel, tokens: Int, _ pageSetBytes: Int) -> Int {
        model.cacheBytes(tokens: tokens) + pageSetBytes
    }

    private static func check(_ name: String, _ value: Int, _ least: Int) throws(InputError) {
        guard value >= least else {
            throw InputError(.value, in: name, expected: "at least \(least)", found: "\(value)")
        }
    }

    private static func length(_ model: QuantModel, _ limits: ServingLimits) throws(InputError) -> Int {
        let own = model.contextLimit ?? min(limits.maxModelLength ?? model.configuration.contextLength, 1 << 40)
        let length = limits.maxModelLength ?? own
        guard length >= 2 && length <= own else {
            throw InputError(
                .value, in: "max_model_len", expected: "2 to \(own), the model's context", found: "\(length)")
        }
        if case .dynamic = model.configuration.rope.scaling, length > model.configuration.maxPositions {
            // There the angles of a token depend on the length of the call that reads it.
            throw InputError(
                .unsupported, in: "max_model_len",
                expected: "at most \(model.configuration.maxPositions) tokens, the trained length, with dynamic RoPE",
                found: "\(length)", remedy: "Choose a smaller max_model_len.")
        }
        return length
    }

    private static func remedy(_ model: QuantModel, _ bytes: Int, _ pageSetBytes: Int) -> String {
        var (low, high) = (0, model.contextLimit ?? 1 << 20)
        while high - low > 1 {
            let middle = (low + high) / 2
            if needed(model, tokens: middle, pageSetBytes) <= bytes { low = middle } else { high = middle }
        }
        let formats = model.keyValueFormat == .int8 ? "" : ", int8 keys and values (--kv int8)"
        return low >= 2
            ? "Give more memory\(formats) or a max_model_len of at most \(low)." : "Give more memory."
    }

    static func text(_ bytes: Int) -> String {
        func rounded(_ unit: Int) -> String {
            let tenths = (10 * bytes + unit / 2) / unit
            return tenths % 10 == 0 || tenths >= 1000 ? "\(tenths / 10)" : "\(tenths / 10).\(tenths % 10)"
        }
        if bytes >= 1 << 30 { return "\(rounded(1 << 30)) GiB" }
        if bytes >= 1 << 20 { return "\(rounded(1 << 20)) MiB" }
        return "\(rounded(1 << 10)) KiB"
    }
}
