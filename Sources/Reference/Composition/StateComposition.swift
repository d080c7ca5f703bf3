//  The states of several chunks to one, layer by layer.
//
//  | layer         | soup     | fuse                        | exact, chunks in order                        |
//  |---------------|----------|-----------------------------|-----------------------------------------------|
//  | M2            | mean S_k | sum of c_k S_k, c per head  | S <- a_k S + S_k                              |
//  | GDN           | mean S_k | sum of C_k S_k, matrices    | S <- Π_k S + S_k                              |
//  | GKA (G and M) | mean     | sum (they are information)  | M <- a_k M + M_k, and G, where it decays      |
//  | windows       | mean     | mean                        | the last chunk's                              |
//
//  a_k is the whole decay of chunk k, its filler and prefix included; c_k and C_k are in
//  PicasoWeights.swift. The exact form is the associative product of segments that start from zero:
//  where the inputs of the layer do not depend on what was before a chunk, it is what reading the
//  chunks one after another gives. Decays of the result start again from nothing read.
//
//  Source: awslabs/hybrid-model-factory, models/cache_compose.py (the official fuse of GDN always
//  fails: no layer stores Π).

import DualityCore

extension LayerCache {
    /// Composes the states and windows of chunks; keys and values are those of the first.
    ///
    /// - Parameters:
    ///   - chunks: the memory of this layer after each chunk, in order, at least one; each from an
    ///     empty memory.
    ///   - decaysGram: whether the Gram matrix of a Gated KalmaNet layer decays.
    /// - Throws: `InputError` (`.missing`) when a Gated DeltaNet layer was read without its
    ///   transitions and they are needed.
    static func composingStates(
        of chunks: [LayerCache], _ rule: ComposeType.States, decaysGram: Bool
    ) throws(InputError) -> LayerCache {
        var result = chunks[0]
        var tensors = result.fixedTensors.filter { $0.name != "delta_transition" }
        for i in tensors.indices {
            let parts = chunks.map { chunk in
                chunk.fixedTensors.first { $0.name == tensors[i].name }?.tensor.elements ?? []
            }
            switch (rule, tensors[i].isWindow) {
            case (.zero, _):
                tensors[i].tensor.elements = Array(repeating: 0, count: parts[0].count)
            case (.soup, _), (.fuse, true):
                tensors[i].tensor.elements = mean(parts)
            case (.exact, true):
                tensors[i].tensor.elements = parts[parts.count - 1]
            case (.fuse, false):
                tensors[i].tensor.elements = try fused(parts, chunks, tensors[i].name)
            case (.exact, false):
                tensors[i].tensor.elements = try composed(parts, chunks, tensors[i].name, decaysGram: decaysGram)
            }
        }
        result.deltaNet?.transition = nil
        result.fixedTensors = tensors
        if let count = result.scan?.logDecay.count { result.scan?.logDecay = Array(repeating: 0, count: count) }
        if let count = result.kalmaNet?.logDecay.count { result.kalmaNet?.logDecay = Array(repeating: 0, count: count) }
        return result
    }

    private static func mean(_ parts: [[Scalar]]) -> [Scalar] {
        let weight = 1 / Scalar(parts.count)
        return sum(parts) { _, _ in weight }
    }

    /// Sum over chunks of `weight(chunk, element)` times its element.
    private static func sum(_ parts: [[Scalar]], _ weight: (Int, Int) -> Scalar) -> [Scalar] {
        var total = [Scalar](repeating: 0, count: parts[0].count)
        for (k, part) in parts.enumerated() {
            for i in total.indices { total[i] += weight(k, i) * part[i] }
        }
        return total
    }

    private static func fused(
        _ parts: [[Scalar]], _ chunks: [LayerCache], _ name: String
    ) throws(InputError) -> [Scalar] {
        switch name {
        case "ssm_state":
            let decays = chunks.map { $0.scan?.logDecay ?? [] }
            let size = parts[0].count / max(decays[0].count, 1)
            let weights = decays[0].indices.map { head in
                PicasoWeights.logWeights(decays.map { $0[head] }).map { Scalar(Double.exp($0)) }
            }
            return sum(parts) { k, i in weights[i / size][k] }
        case "delta_state":
            let heads = try transitions(of: chunks)
            return heads.enumerated().flatMap { head, factors in
                let weights = PicasoWeights.matrixWeights(factors.matrices, width: factors.width)
                let size = factors.width * factors.width
                let products = parts.enumerated().map { k, part in
                    matrixProduct(
                        weights[k], Array(part[head * size..<(head + 1) * size]), factors.width, factors.width)
                }
                return sum(products) { _, _ in 1 }
            }
        default:
            return sum(parts) { _, _ in 1 }
        }
    }

    private static func composed(
        _ parts: [[Scalar]], _ chunks: [LayerCache], _ name: String, decaysGram: Bool
    ) throws(InputError) -> [Scalar] {
        var state = parts[0]
        if name == "delta_state" {
            for (head, factors) in try transitions(of: chunks).enumerated() {
                let range = head * factors.width * factors.width..<(head + 1) * factors.width * factors.width
                for k in parts.indices.dropFirst() {
                    let carried = matrixProduct(
                        factors.matrices[k], Array(state[range]), factors.width, factors.width)
                    for (i, value) in zip(range, carried) { state[i] = value + parts[k][i] }
                }
            }
            return state
        }
        for k in parts.indices.dropFirst() {
            let logs = chunks[k].scan?.logDecay ?? chunks[k].kalmaNet?.logDecay ?? []
            let decays = logs.map { name == "gram" && !decaysGram ? 1 : Scalar(Double.exp($0)) }
            let size = state.count / max(decays.count, 1)
            for i in state.indices { state[i] = decays[i / size] * state[i] + parts[k][i] }
        }
        return state
    }

    /// For every head, Π of every chunk.
    private static func transitions(
        of chunks: [LayerCache]
    ) throws(InputError) -> [(width: Int, matrices: [[Scalar]])] {
        let tracked = chunks.compactMap { $0.deltaNet?.transition }
        guard tracked.count == chunks.count, let shape = tracked.first?.shape else {
            throw InputError(
                .missing, in: "chunks of a Gated DeltaNet layer", expected: "their transitions", found: "states alone",
                remedy: "Read the chunks with transitions tracked.")
        }
        let size = shape[1] * shape[2]
        return (0..<shape[0]).map { head in
            (shape[1], tracked.map { Array($0.elements[head * size..<(head + 1) * size]) })
        }
    }
}
