import DualityCore
import DualityKernels
import TestSupport
import Testing

/// Norms, rotation, softmax and convolution against their formulas in float64.
@Suite struct VectorFunctionTests {
    private static let (tokens, width, group) = (3, 75, 25)
    private let x = random(3 * 75, seed: 30), z = random(3 * 75, seed: 31), weight = random(75, seed: 32)

    private func normalized(_ v: [Double], group: Int, epsilon: Double) -> [Double] {
        stride(from: 0, to: v.count, by: group).flatMap { first -> [Double] in
            let part = v[first..<first + group]
            let mean = part.reduce(0) { $0 + $1 * $1 } / Double(group)
            return part.enumerated().map { i, value in
                Double(weight[(first + i) % weight.count]) * value / (mean + epsilon).squareRoot()
            }
        }
    }

    private func silu(_ x: Float) -> Double { Double(x) / (1 + Double.exp(-Double(x))) }

    @Test(arguments: Table.all)
    func normsAreTheirFormulas(table: Table) {
        let (t, w) = (Self.tokens.wide, Self.width.wide)
        let y = Memory<Float>(x.count)
        defer { keep(y) }
        table.kernels.rms_norm(x, w, y.pointer, w, t, 1, w, weight, 1e-6)
        var error = relativeL2(y.elements, normalized(x.map(Double.init), group: Self.width, epsilon: 1e-6))
        #expect(error < 2e-7, "\(error)")

        let (h, sum) = (Memory(x), zip(x, z).map { $0 + $1 })
        defer { keep(h) }
        table.kernels.add_rms_norm(h.pointer, w, z, w, y.pointer, w, t, w, weight, 1e-6)
        #expect(h.elements == sum)
        error = relativeL2(y.elements, normalized(sum.map(Double.init), group: Self.width, epsilon: 1e-6))
        #expect(error < 2e-7, "\(error)")

        table.kernels.gated_norm(x, w, z, w, y.pointer, w, t, 3, Self.group.wide, weight, 1e-5)
        let gated = zip(x, z).map { Double($0) * silu($1) }
        error = relativeL2(y.elements, normalized(gated, group: Self.group, epsilon: 1e-5))
        #expect(error < 3e-7, "\(error)")
    }

    @Test(arguments: Table.all)
    func softmaxSumsToOneAndIsItsFormula(table: Table) {
        let y = Memory(x.map { 10 * $0 })
        defer { keep(y) }
        table.kernels.softmax(y.pointer, y.count.wide)
        let largest = Double(x.max() ?? 0) * 10
        let terms = x.map { Double.exp(Double(10 * $0) - largest) }
        let error = relativeL2(y.elements, terms.map { $0 / terms.reduce(0, +) })
        #expect(error < 1e-6, "\(error)")
    }

    @Test(arguments: Table.all)
    func rotationTurnsHalvesAgainstEachOther(table: Table) {
        let (heads, dim) = (2, 34)
        let (cosines, sines) = (random(3 * 17, seed: 33), random(3 * 17, seed: 34))
        let y = Memory(x)
        defer { keep(y) }
        table.kernels.rope(y.pointer, 75, 3, heads.wide, dim.wide, cosines, sines)
        for t in 0..<3 {
            for h in 0..<heads {
                for i in 0..<17 {
                    let first = t * 75 + h * dim + i
                    let (a, b, c, s) = (x[first], x[first + 17], cosines[t * 17 + i], sines[t * 17 + i])
                    #expect(y.pointer[first] == a * c - b * s)
                    #expect(y.pointer[first + 17] == b * c + a * s)
                }
            }
            #expect(y.pointer[t * 75 + 70] == x[t * 75 + 70])
        }
    }

    @Test(arguments: Table.all, [1, 2, 4, 6])
    func theConvolutionIsItsFormulaHoweverItsTokensCome(table: Table, taps: Int) {
        let (channels, tokens) = (75, 9)
        let rows = random(tokens * channels, seed: 35)
        let before = random((taps - 1) * channels, seed: 36)
        let (kernel, bias) = (random(taps * channels, seed: 37), random(channels, seed: 38))
        let whole = before + rows
        var exact = [Double](repeating: 0, count: rows.count)
        for t in 0..<tokens {
            for c in 0..<channels {
                var sum = Double(bias[c])
                for j in 0..<taps { sum += Double(kernel[j * channels + c]) * Double(whole[(t + j) * channels + c]) }
                exact[t * channels + c] = sum / (1 + Double.exp(-sum))
            }
        }
        func convolve(_ table: Table, _ pieces: [Int]) -> (y: [Float], window: [Float]) {
            let (window, y) = (Memory(before), Memory<Float>(rows.count))
            defer { keep(window, y) }
            var first = 0
            for count in pieces {
                for channel in [0..<40, 40..<channels] {
                    rows.withUnsafeBufferPointer {
                        table.kernels.conv_silu(
                            $0.baseAddress! + first * channels, channels.wide, y.pointer + first * channels,
                            channels.wide, count.wide, window.pointer, channels.wide, taps.wide, kernel, bias,
                            channel.lowerBound.wide, channel.upperBound.wide)
                    }
                }
                first += count
            }
            return (y.elements, window.elements)
        }
        let scalar = convolve(.scalar, [9])
        #expect(relativeL2(scalar.y, exact) < 3e-7)
        for pieces in [[9], [1, 1, 3, 4], [Int](repeating: 1, count: 9)] {
            let result = convolve(table, pieces)
            #expect(differences(result.y, scalar.y) == 0)
            #expect(result.window == Array(whole.suffix((taps - 1) * channels)))
        }
    }

    @Test(arguments: Table.vector)
    func everyTableHasTheBitsOfTheScalarOne(table: Table) {
        func all(_ kernels: dk_kernels) -> [Float] {
            let y = Memory<Float>(x.count)
            defer { keep(y) }
            var results: [Float] = []
            kernels.rms_norm(x, 75, y.pointer, 75, 3, 3, 25, weight, 1e-6)
            results += y.elements
            kernels.gated_norm(x, 75, z, 75, y.pointer, 75, 3, 3, 25, weight, 1e-5)
            results += y.elements
            kernels.silu_multiply(x, 75, z, 75, y.pointer, 75, 3, 75)
            results += y.elements
            kernels.softmax(y.pointer, y.count.wide)
            return results + y.elements
        }
        #expect(differences(all(table.kernels), all(Table.scalar.kernels)) == 0)
    }
}
