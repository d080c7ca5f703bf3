//  That all ranks have the same model and would compute it alike, asked before the first pass.

import DualityCore
import DualityKernels
import Foundation

extension QuantModel {
    /// What must be the same on every rank, by name: formats, layouts, shape, a sample of the
    /// weights, and the numbers that came from the C library.
    package var rankFacts: [(name: String, value: String)] {
        var vectors = ContentHash()
        for layer in layers {
            let norms = [layer.inputNorm, layer.feedForward?.norm].compactMap { $0?.weight }
            let biases = layer.projections.compactMap(\.bias)
            for numbers in norms + layer.mixer.vectors + biases { add(numbers, to: &vectors) }
        }
        for numbers in [norm.weight] + [head.bias].compactMap({ $0 }) { add(numbers, to: &vectors) }
        var sample = ContentHash()
        let matrices = layers.flatMap(\.projections).flatMap { $0.blocks.map(\.matrix) }
        for matrix in [embedding] + matrices + head.blocks.map(\.matrix) {
            sample.add([matrix.rows, matrix.columns, matrix.byteCount])
            for bytes in [matrix.weights, matrix.scales].compactMap({ $0 }) { bytes.addSample(to: &sample) }
        }
        return [
            ("layout of files and caches", "\(PackedCheckpoint.layout); \(QuantCache.blockFormat)"),
            ("formats", "\(plan.text), keys and values \(keyValueFormat.rawValue)"),
            ("arithmetic", plan.precision.rawValue), ("configuration", "\(configuration)"),
            ("RoPE tables", rotationHash), ("norms, biases and decays", vectors.text), ("weights", sample.text),
        ]
    }

    /// Angles come from the C library's functions, of which two versions may round differently.
    private var rotationHash: String {
        guard let rope else { return "none" }
        let (count, half) = (64, configuration.headDim / 2)
        var (cosines, sines) = ([Float](repeating: 0, count: count * half), [Float](repeating: 0, count: count * half))
        cosines.withUnsafeMutableBufferPointer { cosines in
            sines.withUnsafeMutableBufferPointer { sines in
                guard let cosine = cosines.baseAddress, let sine = sines.baseAddress else { return }
                rope.fill(cosine, sine, positions: 1000..<1000 + count, length: 1000 + count)
            }
        }
        var hash = ContentHash()
        add(cosines, to: &hash)
        add(sines, to: &hash)
        return hash.text
    }

    private func add(_ numbers: [Float], to hash: inout ContentHash) {
        numbers.withUnsafeBytes { hash.add($0) }
    }

    /// - Parameter stages: how many ranges of layers it is to be cut into.
    /// - Throws: `InputError` (`.value`), the same on every rank, that names the first difference.
    package func requireSameModel(on exchange: any RankExchange, stages: Int = 1) throws(InputError) {
        let (parts, all) = (exchange.count / max(stages, 1), exchange.count)
        let cut =
            switch stages {
            case 1: "by rows, --tensor-parallel"
            case all: "by layers, --pipeline-parallel"
            default: "by rows and layers, --tensor-parallel \(parts) --pipeline-parallel \(stages)"
            }
        try exchange.requireSame(rankFacts + [("cut of the model", cut)])
    }
}

extension PartExchange {
    /// - Parameter facts: what must be the same on every rank, by name; as many on every rank.
    /// - Throws: `InputError` (`.value`), the same on every rank, that names the first difference.
    func requireSame(_ facts: [(name: String, value: String)]) throws(InputError) {
        let own = Array(facts.map(\.value).joined(separator: "\u{0}").utf8)
        let all = gatherTexts(own)
        for (rank, text) in all.enumerated() where text != all[0] {
            func values(_ text: [UInt8]) -> [ArraySlice<UInt8>] {
                text.split(separator: 0, omittingEmptySubsequences: false)
            }
            let (first, other) = (values(all[0]), values(text))
            let index = zip(first, other).enumerated().first { $1.0 != $1.1 }?.offset
            throw InputError(
                .value, in: "rank \(rank): \(index.map { $0 < facts.count ? facts[$0].name : "version" } ?? "version")",
                expected: index.map { String(decoding: first[$0].prefix(200), as: UTF8.self) } ?? "that of rank 0",
                found: index.map { String(decoding: other[$0].prefix(200), as: UTF8.self) } ?? "another",
                remedy: "Give every rank the same build, files and options.")
        }
    }

    /// A text of every rank, on every rank.
    func gatherTexts(_ own: [UInt8]) -> [[UInt8]] {
        var lengths = [Int64](repeating: 0, count: count)
        withUnsafeBytes(of: Int64(own.count)) { own in
            lengths.withUnsafeMutableBytes { all in
                if let source = own.baseAddress, let target = all.baseAddress {
                    gather(source, sizes: Array(repeating: 8, count: count), into: target)
                }
            }
        }
        let sizes = lengths.map { Int($0) }
        let source = own.isEmpty ? [0] : own
        let all = [UInt8](unsafeUninitializedCapacity: max(sizes.reduce(0, +), 1)) { buffer, initialized in
            if let target = buffer.baseAddress { gather(source, sizes: sizes, into: target) }
            initialized = sizes.reduce(0, +)
        }
        var first = 0
        return sizes.map { size in
            defer { first += size }
            return Array(all[first..<first + size])
        }
    }
}

extension WeightBytes {
    /// Adds a kilobyte of the beginning, the middle and the end: enough to tell models apart, and
    /// few enough that a rank reads little of what is not its own.
    func addSample(to hash: inout ContentHash) {
        let size = min(1024, byteCount)
        for offset in [0, byteCount / 2 - size / 2, byteCount - size] {
            hash.add(UnsafeRawBufferPointer(start: base + offset, count: size))
        }
    }
}

extension SequenceMixer {
    /// Its parameters beside matrices and their biases.
    var vectors: [[Float]] {
        switch self {
        case let mixer as QuantMamba2Mixer:
            [
                mixer.taps, mixer.convolutionBias ?? [], mixer.a, mixer.dtBias, mixer.d, mixer.gatedNorm.weight,
                mixer.bNorm?.weight ?? [], mixer.cNorm?.weight ?? [],
            ]
        case let mixer as QuantGatedDeltaNet:
            [mixer.rates, mixer.decayBias, mixer.output.norm.weight] + mixer.heads.vectors
        case let mixer as QuantGatedKalmaNet:
            [mixer.rates, mixer.decayBias, mixer.output.norm.weight] + mixer.heads.vectors
        case let mixer as QuantAttention: [mixer.queryNorm.weight, mixer.keyNorm.weight]
        case let mixer as QuantBMojo:
            mixer.mixer.vectors + mixer.attention.vectors + (mixer.fading?.vectors ?? [])
        default: []
        }
    }
}

extension HeadInputs {
    /// Its parameters beside matrices and their biases.
    var vectors: [[Float]] { [taps ?? [], convolutionBias ?? []] + expansions.map { $0.mixture ?? [] } }
}
