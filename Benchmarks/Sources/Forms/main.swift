//  What each form of SSD costs in the reference, by length: seconds for one head of P = N = 128,
//  and for a layer.
//
//      swift run -c release --package-path Benchmarks forms [--layer | --bounds] > forms.tsv
//
//  Tab-separated: length, then float64 seconds for the recurrent, chunked (Q = 64, 256), quadratic
//  and associative form (a balanced tree of 16 tokens a leaf), and for the convolution form, term
//  by term, on operands that do not change with time. `--layer` measures one layer of the 8B shape
//  instead (L = 2048, H = 32, x and B with 8 heads), and `--bounds` four heads of that layer with
//  the float32 bound and sigma of three forms. Every number is the best of the repeats, forms in
//  alternation; before a time is printed the forms are checked against each other.

import DualityCore
import DualityNumerics
import DualityReference

func operands(length: Int, heads: Int, keyValueHeads: Int, size: Int = 128) throws -> SSDInputs<Double> {
    var random = RandomSource(seed: 1)
    func tensor(_ shape: [Int], _ draw: (inout RandomSource) -> Double) -> Tensor<Double> {
        Tensor(repeating: 0, shape: shape).map { _ in draw(&random) }
    }
    return try SSDInputs(
        x: tensor([1, length, keyValueHeads, size]) { $0.normal() },
        dt: tensor([1, length, heads]) { $0.normal() },
        a: tensor([heads]) { -$0.uniform(in: 0.05...1) },
        b: tensor([1, length, keyValueHeads, size]) { $0.normal() },
        c: tensor([1, length, heads, size]) { $0.normal() },
        d: tensor([heads]) { $0.normal() },
        dtBias: tensor([heads]) { $0.uniform(in: -6 ... -2) })
}

/// The same operands with the first token's dt, B and C for all.
func still(_ inputs: SSDInputs<Double>) throws -> SSDInputs<Double> {
    func held(_ tensor: Tensor<Double>) throws -> Tensor<Double> {
        let width = tensor.shape[2...].reduce(1, *)
        return try Tensor(
            shape: tensor.shape, elements: tensor.elements.indices.map { tensor.elements[$0 % width] })
    }
    return try SSDInputs(
        x: inputs.x, dt: held(inputs.dt), a: inputs.a, b: held(inputs.b), c: held(inputs.c), d: inputs.d,
        dtBias: inputs.dtBias)
}

/// Best seconds of each form over the repeats; nil for a form that would take too long.
func measure(_ inputs: SSDInputs<Double>, _ forms: [SSDForm?], repeats: Int) throws -> [Double?] {
    var best = [Double?](repeating: nil, count: forms.count)
    var reference: [Double]?
    for _ in 0..<repeats {
        for (i, form) in forms.enumerated() {
            guard let form else { continue }
            let start = ContinuousClock.now
            let outputs = try form.evaluate(inputs)
            let time = (ContinuousClock.now - start) / .seconds(1)
            best[i] = min(best[i] ?? .infinity, time)
            let expected = reference ?? outputs.y.elements
            let scale = expected.reduce(0) { max($0, $1.magnitude) }
            let error = zip(outputs.y.elements, expected).reduce(0) { max($0, ($1.0 - $1.1).magnitude) } / scale
            precondition(error < 1e-11, "\(form) differs by \(error): not timing a wrong form")
            reference = expected
        }
    }
    return best
}

func row(_ label: String, _ times: [Double?]) {
    print(([label] + times.map { $0.map { "\(($0 * 1e5).rounded() / 1e5)" } ?? "-" }).joined(separator: "\t"))
}

let tree = SSDForm.associative(tree: .balanced, leaf: 16)
let forms: [SSDForm] = [.recurrent, .chunked(size: 64), .chunked(size: 256), .quadratic, tree]
if CommandLine.arguments.contains("--layer") {
    print("L\trecurrent\tchunked 64\tchunked 256")
    row("2048", try measure(operands(length: 2048, heads: 32, keyValueHeads: 8), Array(forms[..<3]), repeats: 2))
} else if CommandLine.arguments.contains("--bounds") {
    // Bound and sigma cost the same for every head.
    let inputs = try operands(length: 2048, heads: 32, keyValueHeads: 8).heads(0..<4)
    print("form\toracle\tbound\tsigma")
    for form in [SSDForm.recurrent, .chunked(size: 256), tree] {
        let arithmetic = KernelArithmetic(.f32, form: form)
        let times = try [
            ContinuousClock().measure { _ = try SSDForm.recurrent.evaluate(inputs) },
            ContinuousClock().measure { _ = try arithmetic.errorBound(for: inputs) },
            ContinuousClock().measure { _ = try arithmetic.roundingSigma(for: inputs) },
        ]
        row(form.name, times.map { $0 / .seconds(1) })
    }
} else {
    print("L\trecurrent\tchunked 64\tchunked 256\tquadratic\tassociative\tconvolution")
    for length in [512, 1024, 2048, 4096, 8192, 16384] {
        let inputs = try operands(length: length, heads: 1, keyValueHeads: 1)
        let times = try measure(inputs, forms, repeats: length > 8192 ? 2 : 3)
        let convolution = try measure(still(inputs), [.recurrent, .convolution], repeats: 1)[1]
        row(String(length), times + [convolution])
    }
}
