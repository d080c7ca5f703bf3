import DualityCore
import Foundation
import TestSupport
import Testing

@testable import DualityReference

/// The weights that a composition gives its chunks.
@Suite struct PicasoWeightsTests {
    @Test func weightsAreTheAverageOverAllOrders() {
        let worked = PicasoWeights.logWeights([0.5, 0.8, 0.2].map { Double.log($0) }).map { Double.exp($0) }
        #expect(maximumDifference(worked, [1.66 / 3, 1.45 / 3, 2.05 / 3]) < 1e-15)
        var source = RandomSource(seed: 6)
        for count in 1...6 {
            let decays = (0..<count).map { _ in source.uniform() }
            let weights = PicasoWeights.logWeights(decays.map { Double.log($0) }).map { Double.exp($0) }
            #expect(relativeL2(weights, bruteForce(decays)) < 1e-14, "\(count) chunks")
            // Matrices of one number are the same numbers.
            let matrices = PicasoWeights.matrixWeights(decays.map { [$0] }, width: 1).flatMap { $0 }
            #expect(relativeL2(matrices, weights) < 1e-14)
            let turned = PicasoWeights.logWeights(decays.reversed().map { Double.log($0) }).map { Double.exp($0) }
            #expect(relativeL2(turned.reversed(), weights) < 1e-14, "the order of chunks does not matter")
        }
    }

    @Test func weightsHaveTheirLimits() {
        for count in 1...12 {
            let kept = PicasoWeights.logWeights(Array(repeating: 0, count: count))
            #expect(maximumDifference(kept, Array(repeating: 0, count: count)) < 1e-13, "nothing decays: the plain sum")
            let lost = PicasoWeights.logWeights(Array(repeating: -.infinity, count: count))
            #expect(lost == Array(repeating: -Double.log(Double(count)), count: count), "all decays: the mean")
        }
        // Far below what exp can say: the logarithm of the weight is still right.
        let far = PicasoWeights.logWeights([-2000, -3000, 0])
        #expect((far[2] - -Double.log(3)).magnitude < 1e-15)
        #expect((far[0] - Double.log(0.5)).magnitude < 1e-12)
    }

    // MARK: exact composition

    /// The mean over all orders of the product of what comes after.
    private func bruteForce(_ decays: [Double]) -> [Double] {
        var sums = [Double](repeating: 0, count: decays.count)
        var orders = 0.0
        func visit(_ order: [Int], _ rest: [Int]) {
            if rest.isEmpty {
                orders += 1
                var product = 1.0
                for k in order.reversed() {
                    sums[k] += product
                    product *= decays[k]
                }
            }
            for k in rest { visit(order + [k], rest.filter { $0 != k }) }
        }
        visit([], Array(decays.indices))
        return sums.map { $0 / orders }
    }
}
