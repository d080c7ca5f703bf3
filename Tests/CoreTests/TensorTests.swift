import Testing

@testable import DualityCore

@Suite struct TensorTests {
    @Test func theLastAxisIsContiguous() throws {
        var tensor = try Tensor(shape: [2, 3, 4], elements: Array(0..<24))
        #expect(tensor[1, 2, 3] == 23)
        #expect(tensor[1, 0, 2] == 14)
        tensor[0, 1, 0] = -1
        #expect(tensor.elements[4] == -1)
        #expect(try Tensor(shape: [], elements: [7])[] == 7)
    }

    @Test(
        arguments: [
            ([2, 3], 5), ([2, -3], 6), ([-2, -3], 6), ([], 0), ([0, 4], 1), ([.max, 2], 0), ([1 << 40, 1 << 40, 0], 0),
        ] as [([Int], Int)])
    func aShapeThatDoesNotFitIsAnError(shape: [Int], count: Int) {
        let error = #expect(throws: InputError.self) {
            try Tensor(shape: shape, elements: Array(repeating: 0, count: count))
        }
        #expect(error?.kind == .shape)
    }

    @Test func reshapingKeepsTheOrder() throws {
        let tensor = try Tensor(shape: [2, 3], elements: Array(0..<6))
        #expect(try tensor.reshaped([3, 2]).elements == tensor.elements)
        #expect(try tensor.reshaped([3, 2]).shape == [3, 2])
        #expect(throws: InputError.self) { try tensor.reshaped([4]) }
    }

    @Test func narrowingRoundsAndWideningIsExact() throws {
        let tensor = Tensor([0.1, 1e300, -0.0])
        #expect(tensor.converted(to: Float.self).elements == [0.1, .infinity, 0])
        #expect(tensor.converted(to: Float.self).converted(to: Double.self).elements[0] == Double(Float(0.1)))
        #expect(tensor.converted(to: Double.self) == tensor)
    }

    @Test func rowsAndColumnsOfAMatrixAreItsParts() throws {
        let matrix = try Tensor(shape: [3, 4], elements: Array(0..<12))
        #expect(matrix.rows(1..<3) == (try Tensor(shape: [2, 4], elements: Array(4..<12))))
        #expect(matrix.columns(1..<3) == (try Tensor(shape: [3, 2], elements: [1, 2, 5, 6, 9, 10])))
        var taller = matrix.columns(0..<2)
        taller.appendRows(columns: 2..<4, of: matrix)
        #expect(taller.shape == [6, 2] && taller.elements.suffix(6) == [2, 3, 6, 7, 10, 11])
        #expect(matrix.rows(1..<1).shape == [0, 4])
    }

    @Test func theFirstNumberThatIsNotFiniteIsNamed() {
        let error = #expect(throws: InputError.self) {
            try Tensor(shape: [2, 2], elements: [1, 2, Double.nan, .infinity]).requireFinite("gate")
        }
        #expect(error?.kind == .notFinite)
        #expect(error?.place == "gate[1, 0]")
    }
}
