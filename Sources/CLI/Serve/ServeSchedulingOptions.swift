//  Flags of `duality serve`: how much is computed together, and what memory it may take.

import ArgumentParser
import DualityCore
import DualityInference
import DualityQuant
import Foundation

/// Batches, lengths and caches.
struct ServeSchedulingOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Tokens of a prompt and its answer, such as 4096 or 32k (default: the configuration's).", valueName: "n"))
    var maxModelLen: String?
    @Option(help: ArgumentHelp("Sequences computed together.", valueName: "n"))
    var maxNumSeqs = 64
    @Option(help: ArgumentHelp("Rows of one step (default: 512).", valueName: "n"))
    var maxNumBatchedTokens: Int?
    @Option(help: ArgumentHelp("Requests that may wait.", valueName: "n"))
    var maxQueue = 256
    @Option(help: ArgumentHelp("How much longer a step may take for prompts beside answers.", valueName: "factor"))
    var decodeSlowdown = 1.5
    @Option(
        help: ArgumentHelp(
            "Memory of sequences and snapshots together, such as 24MiB or 8GiB (default: 60 % of what is free).",
            valueName: "size"))
    var cacheMemory: String?
    @Flag(
        name: .customLong("enable-prefix-caching"), inversion: .prefixedNo,
        help: "Keep what was read for later requests.")
    var prefixCaching = true
    @Flag(
        help:
            "Guess tokens from where the last few occurred before, in rows that a step has left; answers are the same, bit for bit."
    )
    var lookup = false
    @Option(help: ArgumentHelp("Keep snapshots in this directory over restarts.", valueName: "dir"))
    var stateDir: String?
    @Option(
        help: ArgumentHelp(
            "align and all are the one policy there is; none turns prefix caching off.", valueName: "mode"))
    var mambaCacheMode: String?
    @Option(help: ArgumentHelp("auto or float32.", valueName: "format"))
    var mambaCacheDtype: String?
    @Option(help: ArgumentHelp("auto or float32.", valueName: "format"))
    var mambaSsmCacheDtype: String?
    @Option(help: ArgumentHelp("vLLM's name of --kv: auto, bfloat16, float32 or int8.", valueName: "format"))
    var kvCacheDtype: String?

    func validate() throws {
        guard 1...65536 ~= maxNumSeqs else { throw ValidationError("--max-num-seqs must be from 1 to 65536.") }
        guard 0...1_000_000 ~= maxQueue else { throw ValidationError("--max-queue must be from 0 to 1000000.") }
        if let maxNumBatchedTokens, maxNumBatchedTokens < 1 {
            throw ValidationError("--max-num-batched-tokens must be at least 1.")
        }
        guard decodeSlowdown.isFinite, decodeSlowdown >= 1 else {
            throw ValidationError("--decode-slowdown must be at least 1.")
        }
        if let maxModelLen, Self.count(maxModelLen) == nil {
            throw ValidationError("--max-model-len must be a number of tokens such as 4096 or 32k, not \(maxModelLen).")
        }
        if let cacheMemory, Self.bytes(cacheMemory) == nil {
            throw ValidationError("--cache-memory must be a size such as 24MiB or 8GiB, not \(cacheMemory).")
        }
        if let mambaCacheMode, !["align", "all", "none"].contains(mambaCacheMode) {
            throw ValidationError("--mamba-cache-mode must be align, all or none, not \(mambaCacheMode).")
        }
        for (name, value) in [
            ("--mamba-cache-dtype", mambaCacheDtype), ("--mamba-ssm-cache-dtype", mambaSsmCacheDtype),
        ] {
            guard let value, value != "auto", value != "float32" else { continue }
            throw ValidationError(
                value == "bfloat16" || value == "float16"
                    ? "\(name) must be float32: states are kept in float32, for what \(value) costs grows with the text "
                        + "(`duality compare` shows it)."
                    : "\(name) must be auto or float32, not \(value).")
        }
        guard kvCacheDtype == nil || Self.formats.keys.contains(kvCacheDtype!) else {
            throw ValidationError("--kv-cache-dtype must be auto, bfloat16, float32 or int8, not \(kvCacheDtype!).")
        }
    }

    private static let formats: [String: KeyValueFormat?] = [
        "auto": nil, "bfloat16": .bf16, "bf16": .bf16, "float32": .f32, "f32": .f32, "int8": .int8,
    ]

    /// What `--kv-cache-dtype` says; nil for nothing.
    var keyValueFormat: KeyValueFormat? { kvCacheDtype.flatMap { Self.formats[$0] ?? nil } }

    /// - Throws: `InputError` for a length beyond the configuration's.
    func length(_ configured: Int) throws -> Int {
        guard let maxModelLen, let length = Self.count(maxModelLen) else { return configured }
        guard length <= configured else {
            throw InputError(
                .value, in: "--max-model-len", expected: "at most \(configured), the configuration's context",
                found: "\(length)")
        }
        return length
    }

    func limits(_ length: Int) throws -> ServingLimits {
        var limits = ServingLimits()
        limits.maxSequences = maxNumSeqs
        limits.maxQueue = maxQueue
        limits.maxModelLength = length
        limits.cacheMemory = cacheMemory.flatMap(Self.bytes)
        limits.maxBatchedTokens = maxNumBatchedTokens.map { min($0, 512) }
        limits.decodeSlowdown = decodeSlowdown
        limits.cachesPrefixes = prefixCaching && mambaCacheMode != "none"
        limits.stateDirectory = stateDir
        limits.looksUp = lookup
        return limits
    }

    /// `4096`, `32k` (32,000) or `32K` (32,768), as vLLM reads them.
    static func count(_ text: String) -> Int? {
        let factors: [Character: Double] = ["k": 1e3, "K": 1024, "m": 1e6, "M": 1_048_576]
        let factor = text.last.flatMap { factors[$0] }
        guard let number = Double(factor == nil ? text : String(text.dropLast())), number.isFinite else { return nil }
        let count = number * (factor ?? 1)
        return 1...1e12 ~= count && (factor != nil || count == count.rounded()) ? Int(count) : nil
    }

    /// `24MiB`, `8GiB`, `8GB` or a plain number of bytes.
    static func bytes(_ text: String) -> Int? {
        let digits = text.prefix { $0.isNumber || $0 == "." }
        let unit = text.dropFirst(digits.count).trimmingCharacters(in: .whitespaces).lowercased()
        let factors: [String: Double] = [
            "": 1, "b": 1, "kib": 1024, "mib": 1_048_576, "gib": 1_073_741_824, "tib": 1_099_511_627_776, "kb": 1e3,
            "mb": 1e6, "gb": 1e9, "tb": 1e12,
        ]
        guard let number = Double(digits), let factor = factors[unit] else { return nil }
        let bytes = number * factor
        return 1...1e15 ~= bytes ? Int(bytes) : nil
    }
}
