//  The norm with a gate backwards.
//
//      out = w v r,  r = 1 / sqrt(mean over a group of v² + epsilon),  v = x silu(z),  q = w dout
//
//      ∂v          = r (q - v r² mean over the group of q v)
//      grad_x      = ∂v silu(z)         grad_z = ∂v x silu'(z)         grad_weight = Σ over rows of dout v r
//
//  and with norm_before_gate v = x, q = w dout silu(z): grad_x = ∂v, grad_z = dout w x r silu'(z),
//  grad_weight = Σ dout silu(z) x r. Operands as in GatedNormJudge.swift, and dout, as x.

import DualityCore
import DualityNumerics
import DualityReference

struct GatedNormGradientJudge: KindJudge {
    let forward: GatedNormJudge
    let upstream: Tensor<Double>
    let chunkSize: Int? = nil

    init(_ call: CallDescription, inputs source: any TensorSource) throws {
        forward = try GatedNormJudge(call, inputs: source)
        upstream = try finite(source, "dout")
        try upstream.requireShape(forward.x.shape, "\(source.place): dout")
    }

    var outputs: [OutputShape] {
        let axes: [Axis] = forward.x.shape.count == 3 ? [.batch, .token, .channel] : [.token, .channel]
        var shapes = [OutputShape(name: "grad_x", shape: forward.x.shape, axes: axes)]
        if forward.z != nil { shapes.append(OutputShape(name: "grad_z", shape: forward.x.shape, axes: axes)) }
        return shapes + [OutputShape(name: "grad_weight", shape: forward.weight.shape, axes: [.channel])]
    }

    func expect(_ found: [String: Tensor<Double>], formats: [String: NumberFormat]) throws -> Expectations {
        TermSums.expectations(
            run(nil), of: outputs.filter { found[$0.name] != nil }, formats: formats, inputs: forward.inputFormat)
    }

    static let faults: [LayerFault] = [
        LayerFault(
            name: "norm-grad-mean-term-missing",
            summary: "the root mean square is taken for a constant: -v r³ mean(q v) is missing"),
        LayerFault(
            name: "norm-grad-mean-over-one-group",
            summary: "mean(q v) spans all channels in place of each group"),
        LayerFault(name: "norm-grad-sum-for-mean", summary: "the sum of q v in place of its mean"),
        LayerFault(
            name: "norm-grad-root-not-squared", summary: "the second term of the gradient has r² in place of r³"),
        LayerFault(
            name: "norm-grad-misses-weight", summary: "the gradients of x and z are not multiplied by the weight"),
        LayerFault(name: "norm-grad-x-misses-gate", summary: "the gradient of x is not multiplied by silu(z)"),
        LayerFault(
            name: "norm-grad-z-slope-sigmoid",
            summary: "the slope of the gate is taken to be sigmoid(z) in place of that of silu"),
        LayerFault(name: "norm-grad-z-misses-x", summary: "the gradient of the gate is not multiplied by x"),
        LayerFault(
            name: "norm-grad-gate-after-norm",
            summary: "the gradients are those of a gate on the other side of the norm"
        ),
        LayerFault(
            name: "norm-grad-weight-misses-gate", summary: "the gradient of the weight is made without the gate"),
        LayerFault(
            name: "norm-grad-weight-not-normalised", summary: "the gradient of the weight is not divided by the root"),
        LayerFault(
            name: "norm-grad-weight-of-first-row", summary: "the gradient of the weight is that of the first row"),
        LayerFault(name: "norm-grad-epsilon-1e-6", summary: "epsilon is 1e-6 in the gradients"),
    ]

    func diagnose(
        _ found: [String: Tensor<Double>], _ expectations: [Expectation], seeksPairs: Bool
    ) -> Diagnosis {
        LayerFault.diagnose(Self.faults, found, expectations) { run($0.name).mapValues(\.values) }
    }

    /// One group of one row, as a kernel has it.
    private struct Group {
        var v: [Double] = []
        var q: [Double] = []
        var root = 0.0
        /// r² mean(q v), and the root of the sum of the squares of its terms.
        var pull = 0.0
        var pullMagnitude = 0.0
        var pullSquares = 0.0
        /// Relative variance and roundings that all numbers of the group share.
        var variance = 0.0
        var roundings = 0
    }

    private func group(_ first: Int, _ isLate: Bool, _ fault: String?) -> Group {
        let (size, channels) = (forward.groupSize, forward.weight.count)
        let n = Double(size)
        var group = Group()
        var largestGate = 0.0
        for i in first..<first + size {
            let gate = forward.z?.elements[i]
            let silu = gate.map { Double.silu($0) } ?? 1
            largestGate = max(largestGate, gate?.magnitude ?? 0)
            let weight = fault == "norm-grad-misses-weight" ? 1 : forward.weight.elements[i % channels]
            group.v.append(isLate ? forward.x.elements[i] : forward.x.elements[i] * silu)
            group.q.append(weight * upstream.elements[i] * (isLate ? silu : 1))
        }
        let epsilon = fault == "norm-grad-epsilon-1e-6" ? 1e-6 : forward.epsilon
        group.root = 1 / (group.v.map { $0 * $0 }.compensatedSum() / n + epsilon).squareRoot()
        let products = zip(group.v, group.q).map { $0 * $1 }
        let square = fault == "norm-grad-root-not-squared" ? group.root : group.root * group.root
        let count = fault == "norm-grad-sum-for-mean" ? 1 : n
        group.pull = square * products.compensatedSum() / count
        group.pullMagnitude = square * products.reduce(0) { $0 + $1.magnitude } / n
        let squares = products.reduce(0.0) { $0 + $1 * $1 }
        let sum = products.reduce(0, +)
        group.pullSquares = square * square / (n * n) * (squares * (8 + n / 12) + n / 6 * sum * sum)
        let exp = forward.z == nil ? 0 : 8 + 2 * largestGate
        group.variance = n / 12 + 12 + exp * exp / 4
        group.roundings = size + 24 + Int(min(4 * exp, 1e6))
        return group
    }

    func run(_ fault: String?) -> [String: TermSums] {
        let (size, channels) = (forward.groupSize, forward.weight.count)
        let isLate = forward.normBeforeGate != (fault == "norm-grad-gate-after-norm")
        var (ofX, ofZ) = (TermSums(shape: forward.x.shape), TermSums(shape: forward.x.shape))
        var ofWeight = TermSums(shape: [channels])
        for row in stride(from: 0, to: forward.x.count, by: max(channels, 1)) {
            var groups = stride(from: row, to: row + channels, by: size).map { group($0, isLate, fault) }
            if fault == "norm-grad-mean-over-one-group" {
                let mean = groups.reduce(0.0) { $0 + $1.pull / ($1.root * $1.root) } / Double(groups.count)
                for g in groups.indices { groups[g].pull = mean * groups[g].root * groups[g].root }
            }
            for (g, own) in groups.enumerated() {
                for k in own.v.indices {
                    add(
                        own, k, at: row + g * size + k, isLate: isLate, fault: fault, ofX: &ofX, ofZ: &ofZ,
                        ofWeight: &ofWeight)
                }
            }
        }
        return ["grad_x": ofX, "grad_z": ofZ, "grad_weight": ofWeight]
    }

    /// What one number of a group adds to the gradients.
    private func add(
        _ group: Group, _ k: Int, at i: Int, isLate: Bool, fault: String?, ofX: inout TermSums, ofZ: inout TermSums,
        ofWeight: inout TermSums
    ) {
        let (v, q, root, channels) = (group.v[k], group.q[k], group.root, forward.weight.count)
        let gate = forward.z?.elements[i]
        let (silu, sigmoid) = (gate.map { Double.silu($0) } ?? 1, gate.map { Double.sigmoid($0) } ?? 1)
        let slope =
            fault == "norm-grad-z-slope-sigmoid" ? sigmoid : sigmoid * (1 + (gate ?? 0) * Double.sigmoid(-(gate ?? 0)))
        func error(_ value: Double, _ squares: Double = 0, magnitude: Double? = nil) -> LayerError {
            LayerError(
                bound: LayerError.growth(group.roundings) * (magnitude ?? value.magnitude),
                variance: LayerError.relativeVariance * (group.variance * value * value + squares))
        }
        let through = fault == "norm-grad-mean-term-missing" ? 0 : -root * v * group.pull
        let reach = (root * v) * (root * v)
        // The slope of silu passes through zero, and its error does not.
        let ofSlope = LayerError(bound: 0, variance: 0).siluSlope(of: gate ?? 0)
        func addPull(_ scale: Double, slope: Double? = nil, to sums: inout TermSums) {
            let factor = scale * (slope ?? 1)
            let own = ofSlope * (slope == nil ? 0 : scale)
            sums.add(root * q * factor, error: error(root * q * factor) + own * (root * q), at: i)
            let indirect = error(
                through * factor, reach * group.pullSquares * factor * factor,
                magnitude: root * v.magnitude * group.pullMagnitude * factor.magnitude)
            sums.add(through * factor, error: indirect + own * through, at: i)
        }
        let x = forward.x.elements[i]
        let scale = fault == "norm-grad-z-misses-x" ? 1 : x
        addPull(isLate || fault == "norm-grad-x-misses-gate" ? 1 : silu, to: &ofX)
        if isLate {
            let weight = fault == "norm-grad-misses-weight" ? 1 : forward.weight.elements[i % channels]
            let base = upstream.elements[i] * weight * scale * root
            ofZ.add(base * slope, error: error(base * slope) + ofSlope * base, at: i)
        } else {
            addPull(scale, slope: slope, to: &ofZ)
        }
        if fault == "norm-grad-weight-of-first-row" && i >= channels { return }
        let normal = (fault == "norm-grad-weight-misses-gate" ? x : x * silu) * upstream.elements[i]
        let term = fault == "norm-grad-weight-not-normalised" ? normal : normal * root
        ofWeight.add(term, error: error(term), at: i % channels)
    }
}
