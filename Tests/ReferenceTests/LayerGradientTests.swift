import DualityCore
import TestSupport
import Testing

@testable import DualityReference

/// Seeded tensors for a test.
struct TensorSourceOfNoise {
    var random: RandomSource

    mutating func normal(_ shape: [Int], scale: Double = 1) -> Tensor<Double> {
        var tensor = Tensor(repeating: 0.0, shape: shape)
        for i in tensor.elements.indices { tensor.elements[i] = scale * random.normal() }
        return tensor
    }
}

/// Every layer's backward pass against differences of its forward pass.
@Suite struct LayerGradientTests {
    /// Checks one gradient against the differences of `outputs`.
    func expect(
        _ gradient: Tensor<Double>?, at tensor: Tensor<Double>?, _ name: String, upstream: [Double],
        step: Double = 0.05, sourceLocation: SourceLocation = #_sourceLocation,
        outputs: (Tensor<Double>) throws -> [Double]
    ) rethrows {
        guard let tensor else { return #expect(gradient == nil, "\(name)", sourceLocation: sourceLocation) }
        let expected = try differences(of: tensor, step: step, upstream: upstream, outputs: outputs)
        let error = relativeL2(gradient?.elements ?? [], expected)
        #expect(error < 1e-9, "gradient of \(name): \(error)", sourceLocation: sourceLocation)
        #expect(expected.contains { $0 != 0 }, "\(name) matters", sourceLocation: sourceLocation)
    }

    @Test(arguments: [true, false]) func linear(bias: Bool) throws {
        var noise = TensorSourceOfNoise(random: RandomSource(seed: 1))
        let layer = try Linear(weight: noise.normal([3, 5]), bias: bias ? noise.normal([3]) : nil)
        let (u, g) = (noise.normal([4, 5]), noise.normal([4, 3]))
        let gradients = layer.gradients(of: u, output: g)
        expect(gradients.input, at: u, "input", upstream: g.elements) { layer($0).elements }
        try expect(gradients.weight, at: layer.weight, "weight", upstream: g.elements) {
            try Linear(weight: $0, bias: layer.bias)(u).elements
        }
        try expect(gradients.bias, at: layer.bias, "bias", upstream: g.elements) {
            try Linear(weight: layer.weight, bias: $0)(u).elements
        }
    }

    /// Groups of one row and of one head, and an epsilon that matters.
    @Test(arguments: [1e-6, 0.5]) func rmsNorm(epsilon: Double) throws {
        var noise = TensorSourceOfNoise(random: RandomSource(seed: 2))
        let layer = RMSNorm(weight: noise.normal([4]), epsilon: epsilon)
        let (u, g) = (noise.normal([3, 8]), noise.normal([3, 8]))
        let gradients = layer.gradients(of: u, output: g)
        expect(gradients.input, at: u, "input", upstream: g.elements) { layer($0).elements }
        expect(gradients.weight, at: layer.weight, "weight", upstream: g.elements) {
            RMSNorm(weight: $0, epsilon: epsilon)(u).elements
        }
    }

    @Test(arguments: [true, false], [true, false]) func gatedGroupNorm(normBeforeGate: Bool, gated: Bool) throws {
        var noise = TensorSourceOfNoise(random: RandomSource(seed: 3))
        let layer = try GatedGroupNorm(
            weight: noise.normal([6]), groupSize: 3, epsilon: 1e-2, normBeforeGate: normBeforeGate)
        let (y, g) = (noise.normal([4, 6]), noise.normal([4, 6]))
        let z = gated ? noise.normal([4, 6], scale: 2) : nil
        let gradients = layer.gradients(of: y, gate: z, output: g)
        expect(gradients.y, at: y, "y", upstream: g.elements) { layer($0, gate: z).elements }
        expect(gradients.gate, at: z, "gate", upstream: g.elements) { layer(y, gate: $0).elements }
        try expect(gradients.weight, at: layer.weight, "weight", upstream: g.elements) {
            try GatedGroupNorm(weight: $0, groupSize: 3, epsilon: 1e-2, normBeforeGate: normBeforeGate)(y, gate: z)
                .elements
        }
    }

    /// Also with the attention scale of YaRN, where the transpose is not the inverse.
    @Test(arguments: [1.0, 1.3]) func rotation(scale: Double) throws {
        var noise = TensorSourceOfNoise(random: RandomSource(seed: 4))
        let rope = try RotaryEmbedding<Double>(headDim: 4, parameters: RopeParameters(theta: 100), maxPositions: 64)
        var table = rope.table(positions: 3..<8)
        table = RotaryTable(cosines: table.cosines.map { scale * $0 }, sines: table.sines.map { scale * $0 })
        let (u, g) = (noise.normal([5, 8]), noise.normal([5, 8]))
        var gradient = g
        table.rotateBack(&gradient)
        expect(gradient, at: u, "input", upstream: g.elements) {
            var rotated = $0
            table.rotate(&rotated)
            return rotated.elements
        }
    }

    /// With the activation, and with a loss that also looks at the window handed on; sequences
    /// shorter than it, too.
    @Test(arguments: [1, 2, 3, 7], [1, 4]) func convolution(length: Int, width: Int) throws {
        var noise = TensorSourceOfNoise(random: RandomSource(seed: 5))
        let (weight, bias) = (noise.normal([3, width]), noise.normal([3]))
        let layer = try CausalConvolution(weight: weight, bias: bias)
        let (u, window) = (noise.normal([length, 3]), noise.normal([width - 1, 3]))
        let (g, nextWindow) = (noise.normal([length, 3]), noise.normal([width - 1, 3]))
        func outputs(_ layer: CausalConvolution<Double>, _ u: Tensor<Double>, _ window: Tensor<Double>) -> [Double] {
            var next = window
            return layer.extend(u, window: &next).elements.map { .silu($0) } + next.elements
        }
        var next = window
        let preActivation = layer.extend(u, window: &next)
        let gradients = layer.gradients(
            of: u, window: window, output: g.multiplied(preActivation) { $0 * .siluDerivative($1) },
            nextWindow: nextWindow)
        let upstream = g.elements + nextWindow.elements
        expect(gradients.input, at: u, "input", upstream: upstream) { outputs(layer, $0, window) }
        if width > 1 {
            expect(gradients.window, at: window, "window", upstream: upstream) { outputs(layer, u, $0) }
        }
        try expect(gradients.weight, at: weight, "weight", upstream: upstream) {
            outputs(try CausalConvolution(weight: $0, bias: bias), u, window)
        }
        try expect(gradients.bias, at: bias, "bias", upstream: upstream) {
            outputs(try CausalConvolution(weight: weight, bias: $0), u, window)
        }
    }

    @Test func convolutionOverPackedSequences() throws {
        var noise = TensorSourceOfNoise(random: RandomSource(seed: 6))
        let (weight, bias) = (noise.normal([3, 4]), noise.normal([3]))
        let layer = try CausalConvolution(weight: weight, bias: bias)
        let packing = try Packing(
            sequenceIds: Tensor(shape: [2, 6], elements: [0, 0, 1, 1, 1, 2] + [0, 0, 0, 0, 0, 1]))
        let (u, windows) = (noise.normal([2, 6, 3]), noise.normal([5, 3, 3]))
        let (g, nextWindows) = (noise.normal([2, 6, 3]), noise.normal([5, 3, 3]))
        func outputs(
            _ layer: CausalConvolution<Double>, _ u: Tensor<Double>, _ windows: Tensor<Double>
        ) throws -> [Double] {
            var next = windows
            return try layer.extend(u, packing: packing, windows: &next).elements + next.elements
        }
        let gradients = try layer.gradients(
            of: u, packing: packing, windows: windows, output: g, nextWindows: nextWindows)
        let upstream = g.elements + nextWindows.elements
        try expect(gradients.input, at: u, "input", upstream: upstream) { try outputs(layer, $0, windows) }
        try expect(gradients.window, at: windows, "windows", upstream: upstream) { try outputs(layer, u, $0) }
        try expect(gradients.weight, at: weight, "weight", upstream: upstream) {
            try outputs(CausalConvolution(weight: $0, bias: bias), u, windows)
        }
        try expect(gradients.bias, at: bias, "bias", upstream: upstream) {
            try outputs(CausalConvolution(weight: weight, bias: $0), u, windows)
        }
        #expect(throws: InputError.self) {
            try layer.gradients(of: u, packing: packing, windows: noise.normal([4, 3, 3]), output: g)
        }
    }

    @Test func theSlopeOfSiLUIsThatOfSiLU() {
        for z in stride(from: -30.0, through: 30, by: 0.7) {
            let expected = derivative(step: 0.3) { Double.silu(z + $0) - Double.silu(z - $0) }
            #expect((Double.siluDerivative(z) - expected).magnitude < 1e-11, "at \(z)")
        }
        #expect(Double.siluDerivative(800) == 1 && Double.siluDerivative(-800) == 0)
        #expect(Float.siluDerivative(200) == 1 && Float.siluDerivative(-200) == 0)
    }
}
