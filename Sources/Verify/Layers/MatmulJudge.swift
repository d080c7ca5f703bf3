//  A matrix product with quantized operands, as fast paths of hybrid models have them.
//
//      int8   out[m, o] = Σ over groups g of s_a[m, g] s_w[o, g] Σ over k in g of a[m, k] w[o, k]       integer sums are exact
//      bf16   out[m, o] = Σ_k a[m, k] w[o, k], sums in float32
//
//  Tensors: activations `[M, K]`, weights `[O, K]`, both I8 or both BF16 (F16, F32); for I8 also
//  activation_scales `[M]` or `[M, groups]` and weight_scales `[O]` or `[O, groups]`. Output: out
//  `[M, O]`.

import DualityCore
import DualityNumerics
import DualityReference

struct MatmulJudge: KindJudge {
    let a: Tensor<Double>
    let w: Tensor<Double>
    /// `[M, groups]` and `[O, groups]`; nil for floating-point operands.
    let aScales: Tensor<Double>?
    let wScales: Tensor<Double>?
    let inputFormat: NumberFormat
    let chunkSize: Int? = nil

    init(_ call: CallDescription, inputs source: any TensorSource) throws {
        a = try finite(source, "activations")
        w = try finite(source, "weights")
        guard a.shape.count == 2, w.shape.count == 2, a.shape[1] == w.shape[1] else {
            throw InputError(
                .shape, in: "\(source.place): weights", expected: "[O, K] with the K of activations \(a.shape)",
                found: "\(w.shape)")
        }
        let isInteger = try source.info("weights").dtype == .i8
        let (rows, outer, inner) = (a.shape[0], w.shape[0], a.shape[1])
        func scales(_ name: String, _ count: Int) throws -> Tensor<Double>? {
            guard isInteger else { return nil }
            let tensor = try finite(source, name)
            let groups = tensor.shape.count == 2 ? tensor.shape[1] : 1
            guard tensor.shape.first == count, tensor.shape.count <= 2, groups > 0, inner % groups == 0 else {
                throw InputError(
                    .shape, in: "\(source.place): \(name)", expected: "[\(count)] or [\(count), groups]",
                    found: "\(tensor.shape)")
            }
            return try tensor.reshaped([count, groups])
        }
        aScales = try scales("activation_scales", rows)
        wScales = try scales("weight_scales", outer)
        inputFormat = isInteger ? .f32 : try source.info("activations").dtype.numberFormat
    }

    private var groups: Int { max(aScales?.shape[1] ?? 1, wScales?.shape[1] ?? 1) }

    var outputs: [OutputShape] {
        [OutputShape(name: "out", shape: [a.shape[0], w.shape[0]], axes: [.token, .channel])]
    }

    func expect(_ found: [String: Tensor<Double>], formats: [String: NumberFormat]) throws -> Expectations {
        let format = formats["out"] ?? .f32
        let (rows, outer, inner) = (a.shape[0], w.shape[0], a.shape[1])
        var exact = Tensor(repeating: 0.0, shape: [rows, outer])
        var magnitudes = exact
        var errors: [LayerError] = []
        for m in 0..<rows {
            for o in 0..<outer {
                let terms =
                    aScales == nil
                    ? (0..<inner).map { a.elements[m * inner + $0] * w.elements[o * inner + $0] }
                    : groupTerms(m, o, nil)
                exact.elements[m * outer + o] = terms.compensatedSum()
                magnitudes.elements[m * outer + o] = terms.reduce(0) { $0 + $1.magnitude }
                var size = LayerError(sumOf: terms)
                if aScales != nil {
                    // Two more roundings of each term, for its scales.
                    size.bound *= 3
                    size.variance += 2 * LayerError.relativeVariance * terms.reduce(0) { $0 + $1 * $1 }
                } else {
                    size.bound *= 2  // matrix units may truncate
                }
                errors.append(size.stored(exact.elements[m * outer + o], as: format))
            }
        }
        return Expectations(
            outputs: [
                Expectation(
                    "out", axes: [.token, .channel], exact: exact, errors: errors, magnitudes: magnitudes,
                    format: format)
            ],
            precision: aScales == nil
                ? "products of \(inputFormat), sums in float32" : "int8 products, exact integer sums, float32 scales")
    }

    static let faults: [LayerFault] = [
        LayerFault(name: "matmul-weight-scales-missing", summary: "the scales of the weights are not applied"),
        LayerFault(name: "matmul-activation-scales-missing", summary: "the scales of the activations are not applied"),
        LayerFault(name: "matmul-scale-of-next-group", summary: "each group takes the next one's weight scale"),
        LayerFault(name: "matmul-first-group-scale", summary: "every group takes the first one's weight scale"),
        LayerFault(name: "matmul-pair-saturation", summary: "pairs of unsigned by signed products saturate at 16 bits"),
        LayerFault(
            name: "matmul-offset-uncorrected",
            summary: "activations are offset by 128 to unsigned and the sum is not corrected"),
        LayerFault(name: "matmul-tail-dropped", summary: "the last K mod 32 products are left out"),
        LayerFault(name: "matmul-last-block-dropped", summary: "the last 32 products are left out"),
        LayerFault(name: "matmul-minus-128", summary: "-128 is taken for -127"),
        LayerFault(name: "matmul-bf16-accumulation", summary: "sums are kept in bfloat16", isOfPrecision: true),
    ]

    func diagnose(
        _ found: [String: Tensor<Double>], _ expectations: [Expectation], seeksPairs: Bool
    ) -> Diagnosis {
        LayerFault.diagnose(Self.faults, found, expectations) { fault in
            let isInteger = aScales != nil
            if isInteger && fault.name == "matmul-bf16-accumulation" { return nil }
            if !isInteger
                && !["matmul-tail-dropped", "matmul-last-block-dropped", "matmul-bf16-accumulation"].contains(
                    fault.name)
            {
                return nil
            }
            var out = Tensor(repeating: 0.0, shape: [a.shape[0], w.shape[0]])
            for m in 0..<a.shape[0] {
                for o in 0..<w.shape[0] {
                    let terms = groupTerms(m, o, fault.name)
                    out.elements[m * w.shape[0] + o] =
                        fault.name == "matmul-bf16-accumulation"
                        ? terms.reduce(0) { NumberFormat.bf16.round($0 + $1) } : terms.reduce(0, +)
                }
            }
            return ["out": out]
        }
    }

    /// The terms of one number: one per group for integers, one per product else.
    private func groupTerms(_ m: Int, _ o: Int, _ fault: String?) -> [Double] {
        let inner = a.shape[1]
        var end = inner
        if fault == "matmul-tail-dropped" { end = inner - inner % 32 }
        if fault == "matmul-last-block-dropped" { end = max(inner - 32, 0) }
        guard let aScales, let wScales else {
            return (0..<end).map { a.elements[m * inner + $0] * w.elements[o * inner + $0] }
        }
        let size = inner / groups
        return (0..<groups).map { g in
            var sum = 0.0
            var k = g * size
            func product(_ k: Int) -> Double {
                var (x, y) = (a.elements[m * inner + k], w.elements[o * inner + k])
                if fault == "matmul-minus-128" { (x, y) = (max(x, -127), max(y, -127)) }
                if fault == "matmul-offset-uncorrected" { x += 128 }
                if fault == "matmul-pair-saturation" { (x, y) = (x.magnitude, x < 0 ? -y : y) }
                return x * y
            }
            while k < min((g + 1) * size, end) {
                if fault == "matmul-pair-saturation", k + 1 < (g + 1) * size {
                    sum += min(max(product(k) + product(k + 1), -32768), 32767)
                    k += 2
                } else {
                    sum += product(k)
                    k += 1
                }
            }
            func scale(_ scales: Tensor<Double>, _ row: Int, _ group: Int) -> Double {
                let count = scales.shape[1]
                return scales.elements[row * count + (count == 1 ? 0 : group)]
            }
            let group =
                fault == "matmul-scale-of-next-group" ? (g + 1) % groups : fault == "matmul-first-group-scale" ? 0 : g
            let weightScale = fault == "matmul-weight-scales-missing" ? 1 : scale(wScales, o, group)
            return sum * weightScale * (fault == "matmul-activation-scales-missing" ? 1 : scale(aScales, m, g))
        }
    }
}
