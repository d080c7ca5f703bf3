//  What a matrix comes back as, against the definition of each format.

import DualityCore
import Testing

@testable import DualityQuant

@Suite struct StoredMatrixTests {
    /// Neither rows nor columns fill a panel or a group.
    private func matrix() throws -> Tensor<Float> {
        var random = RandomSource(seed: 3)
        return try Tensor(shape: [35, 70], elements: (0..<35 * 70).map { _ in Float(random.normal()) })
    }

    @Test(arguments: [0, 32]) func eightBitsAreMultiplesOfAScale(group: Int) throws {
        let matrix = try matrix()
        let stored = try matrix.stored(as: .int8(group: group))
        for row in 0..<35 {
            for first in stride(from: 0, to: 70, by: group == 0 ? 70 : group) {
                let places = row * 70 + first..<row * 70 + min(first + (group == 0 ? 70 : group), 70)
                let scale = (matrix.elements[places].map(\.magnitude).max() ?? 0) / 127
                for i in places {
                    let steps = stored.elements[i] / scale
                    #expect((steps - steps.rounded()).magnitude < 1e-4, "row \(row), element \(i)")
                    #expect((stored.elements[i] - matrix.elements[i]).magnitude <= 0.50001 * scale)
                }
            }
        }
    }

    @Test func otherFormatsRoundEachNumberAlone() throws {
        let matrix = try matrix()
        #expect(try matrix.stored(as: .float32) == matrix)
        #expect(try matrix.stored(as: .bfloat16).elements == matrix.elements.map { Float(BFloat16($0)) })
    }

    @Test func whatIsNoMatrixIsRefused() throws {
        for shape in [[70], [0, 4], [4, 0], [2, 2, 2]] {
            #expect(throws: InputError.self) { try Tensor<Float>(repeating: 1, shape: shape).stored(as: .bfloat16) }
        }
        for group in [-32, 1, 33] {
            #expect(throws: InputError.self) { try matrix().stored(as: .int8(group: group)) }
        }
        var broken = try matrix()
        broken.elements[3] = .nan
        #expect(throws: InputError.self) { try broken.stored(as: .int8(group: 0)) }
    }
}
