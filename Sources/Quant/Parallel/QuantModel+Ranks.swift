//  One model on several ranks: every matrix is cut by rows, what is computed is gathered, and no
//  sum is ever cut. So the logits have the bits of one rank's, for any number of ranks.
//
//      heads       q, k, v, attention; z, x, B, C, dt, scan; their states and caches         gathered: a or y
//      panels      o, out, down                                                              gathered: what is added to the stream
//                  gate, up                                                                  gathered: what down reads
//                  the head                                                                  to rank 0
//      everywhere  the embedding, norms, the residual stream
//
//  Ranks may have ranges of layers too (PipelineStage.swift), whole or cut by rows.

import DualityCore

extension QuantModel {
    /// This rank's part of the model. The weights stay where they are; of a mapped file a rank
    /// touches the rows of its own.
    ///
    /// - Parameters:
    ///   - stages: the ranges of layers; each is of as many neighbouring ranks.
    ///   - shares: of the work, one number per rank; nil for equal ones.
    ///   - wire: what ranks with rows of the same layers send each other; the same on all of them.
    /// - Throws: `InputError` (`.shape`) for another number of shares than ranks, or of ranks that
    ///   stages cannot share out.
    package func cut(
        _ exchange: any RankExchange, stages: Int = 1, shares: [Int]? = nil, wire: RankWire = RankWire(.float32)
    ) throws(InputError) -> QuantModel {
        let shares = try exchange.shares(shares)
        let parts = try exchange.parts(ofStages: stages)
        var model = self
        (model.ranks, model.rankShares) = (RankGroup(exchange), shares)
        guard stages > 1 else { return model.cut(among: parts, shares, wire) }
        let ranks = (0..<stages).map { $0 * parts.count..<($0 + 1) * parts.count }
        model.stage = PipelineStage(
            rank: exchange.rank, layerBytes: layers.map(\.byteCount), shares: ranks.map { shares[$0].reduce(0, +) },
            parts: parts.count)
        // Whole layers need no cut.
        guard parts.count > 1 else { return model }
        return model.cut(among: parts, Array(shares[ranks[exchange.rank / parts.count]]), wire)
    }

    /// The rows of one of `parts`.
    private func cut(among parts: any PartExchange, _ shares: [Int], _ wire: RankWire) -> QuantModel {
        let cut = RankCut(rank: parts.rank, shares: shares)
        let heads = configuration.headCut(cut)
        let outputs = cut.panelRows(head.outputSize)
        var model = self
        model.layers = layers.map { layer in
            QuantDecoderLayer(
                inputNorm: layer.inputNorm, mixer: layer.mixer.cut(heads),
                feedForward: layer.feedForward.map { ($0.norm, $0.mlp.cut(cut)) })
        }
        model.head = head.cut([outputs[cut.rank]])
        model.headShares = outputs
        model.cacheConfiguration = configuration.cut(heads)
        (model.parts, model.wire) = (parts, wire)
        return model
    }

    /// The rows of the stream of every rank in a pass of `count`; nil where every rank has all.
    func rowShares(_ count: Int) -> [Range<Int>]? {
        guard let ranks = parts?.count, ranks > 1 else { return nil }
        let columns = count * configuration.hiddenSize * (ranks - 1) / ranks
        // Of 4 bytes a number there are 4 / R and, where products read bytes, 1 left.
        let saved = readsStreamInBytes ? 3 * columns - 4 * columns / ranks : -4 * columns / ranks
        guard wire.dividesStream(rows: count, saved: saved) else { return nil }
        return RankCut(rank: 0, shares: Array(repeating: 1, count: ranks)).units(count)
    }

    /// Whether all that reads the residual stream rounds it to bytes, or nearly all.
    private var readsStreamInBytes: Bool {
        layers.allSatisfy { layer in
            let mlp = layer.feedForward.map { [$0.mlp.gate, $0.mlp.up] }
            return Pass.streamGroup(layer.mixer.inputs) != nil && (mlp.map { Pass.streamGroup($0) != nil } ?? true)
        }
    }

    /// How many ranks compute the model.
    package var rankCount: Int { ranks?.exchange.count ?? 1 }

    /// On rank 0: lets the others end their `follow`.
    package func endRanks() { ranks?.end() }

    /// What `endRanks` does, without a hold on the weights; nil for a whole model.
    package var endOfRanks: (@Sendable () -> Void)? {
        guard let ranks else { return nil }
        return { ranks.end() }
    }

    /// On every rank but 0: computes what rank 0 asks for until it ends.
    ///
    /// - Throws: `InputError` (`.malformed`) for a step that cannot be understood or followed.
    package func follow() throws {
        var own = self
        // What a sequence may have is for rank 0 to check.
        own.contextLimit = nil
        var follower = RankFollower(own)
        while try follower.step() {}
    }

    /// Computes the head for rows of a pass: whole, or this rank's part of it for rank 0.
    func multiplyHead(_ u: Activations, _ pass: Pass, into out: UnsafeMutablePointer<Float>, hash: UInt64) {
        let (width, rows) = (configuration.vocabularySize, pass.rows)
        guard let parts else {
            pass.multiply(u, head.products(into: out, stride: width))
            return clean(out, rows * width)
        }
        let own = head.outputSize
        // A hash of what the rows are computed from goes before them.
        let sizes = headShares.map { 8 + 4 * rows * $0.count }
        let sent = UnsafeMutableRawPointer(pass.workspace.sent.pointer(2 + own * rows))
        sent.storeBytes(of: hash, as: UInt64.self)
        let logits = (sent + 8).assumingMemoryBound(to: Float.self)
        pass.multiply(u, head.products(into: logits, stride: own))
        clean(logits, rows * own)
        let received = UnsafeMutableRawPointer(
            pass.workspace.received.pointer(parts.rank == 0 ? 2 * headShares.count + width * rows : 0))
        parts.toFirst(sent, sizes: sizes, into: received)
        guard parts.rank == 0, let ranks else { return }
        let first = ranks.exchange.rank
        var part = received
        for (rank, share) in headShares.enumerated() {
            if part.loadUnaligned(as: UInt64.self) != hash { ranks.diverged(first + rank) }
            let numbers = (part + 8).assumingMemoryBound(to: Float.self)
            if !share.isEmpty {
                pass.copyRows(
                    numbers, stride: share.count, into: out + share.lowerBound, stride: width, width: share.count)
            }
            part += sizes[rank]
        }
    }

    /// Of the last of some rows `[rows, Dm]`; 0 in a whole model, where nobody compares it.
    func hash(_ x: UnsafePointer<Float>, _ rows: Int) -> UInt64 {
        guard ranks != nil else { return 0 }
        return Self.hash(x, rows, width: configuration.hiddenSize)
    }

    /// Of the last of some rows; 0 of none.
    static func hash(_ x: UnsafePointer<Float>, _ rows: Int, width: Int) -> UInt64 {
        guard rows > 0 else { return 0 }
        return UnsafeBufferPointer(start: x + (rows - 1) * width, count: width).reduce(0xcbf2_9ce4_8422_2325) {
            ($0 ^ UInt64($1.bitPattern)) &* 0x100_0000_01b3
        }
    }

    private func clean(_ logits: UnsafeMutablePointer<Float>, _ count: Int) {
        pool.run(over: count, multiple: 1 << 14) { range, _ in
            kernels.one_nan(logits + range.lowerBound, Int64(range.count))
        }
    }

    /// - Throws: `InputError` (`.value`) when ranks have not computed the same.
    func requireAgreement() throws(InputError) {
        guard let rank = ranks?.divergentRank else { return }
        if stage != nil {
            let beside = parts == nil ? "" : "those of the ranks with the same layers, and "
            throw InputError(
                .value, in: "rank \(rank)", expected: "\(beside)the rows that it has handed on, bit for bit",
                found: "others",
                remedy: "Look for faulty memory on its host and the next, or for a faulty network between them.")
        }
        throw InputError(
            .value, in: "rank \(rank)", expected: "the residual stream of rank 0, bit for bit", found: "another one",
            remedy: "Look for another model file, version or C library on its host, or for faulty memory.")
    }
}

extension RankExchange {
    /// - Parameter shares: nil for equal ones.
    /// - Throws: `InputError` (`.shape`) for another number of shares than ranks.
    func shares(_ shares: [Int]?) throws(InputError) -> [Int] {
        let shares = shares ?? Array(repeating: 1, count: count)
        guard shares.count == count else {
            throw InputError(
                .shape, in: "shares of the ranks", expected: "\(count), one per rank", found: "\(shares.count)")
        }
        return shares
    }

    /// The ranks with the same layers as this one.
    ///
    /// - Throws: `InputError` (`.shape`) where stages cannot have as many ranks each.
    package func parts(ofStages stages: Int) throws(InputError) -> any PartExchange {
        guard stages > 1 else { return self }
        guard count % stages == 0 else {
            throw InputError(
                .shape, in: "ranks", expected: "a multiple of \(stages), as many for each range of layers",
                found: "\(count)")
        }
        let first = rank / (count / stages) * (count / stages)
        return neighbours(first..<first + count / stages)
    }
}

/// A rank that does what rank 0 says.
struct RankFollower {
    let model: QuantModel
    /// This rank's parts of the caches, by number.
    private(set) var caches: [Int64: QuantCache] = [:]

    init(_ model: QuantModel) {
        self.model = model
    }

    /// Takes part in one step; returns whether there may be another.
    mutating func step() throws -> Bool {
        guard let ranks = model.ranks, let step = RankStep(ranks.exchange.fromFirst([])) else {
            throw InputError(
                .malformed, in: "step of rank 0", expected: "one of this version of Duality", found: "another",
                remedy: "Run the same build on every rank.")
        }
        guard case .extend(let sequences, let dropped, let rowsTogether) = step else { return false }
        var extended = try sequences.map { try take($0) }
        for number in dropped { caches[number] = nil }
        try model.extend(
            &extended, by: sequences.map(\.tokens), wanting: sequences.map(\.wanted), rowsTogether: rowsTogether
        ) { stream, rows, pass in
            for first in stride(from: 0, to: rows.count, by: max(rowsTogether, 1)) {
                let some = Array(rows[first..<min(first + rowsTogether, rows.count)])
                // Nothing is written there: logits are rank 0's.
                model.multiplyHead(stream, some, pass, into: pass.workspace.logits.pointer(0))
            }
        }
        for (sequence, cache) in zip(sequences, extended) { caches[sequence.target] = cache }
        return true
    }

    private mutating func take(_ sequence: RankStep.Sequence) throws -> QuantCache {
        var cache = sequence.source == 0 ? model.makeCache() : caches[sequence.source]
        if !sequence.isKept { caches[sequence.source] = nil }
        cache?.tokenCount = sequence.position
        guard let cache else {
            throw InputError(
                .missing, in: "caches of a rank", expected: "number \(sequence.source)", found: "none of that number")
        }
        return cache
    }
}
