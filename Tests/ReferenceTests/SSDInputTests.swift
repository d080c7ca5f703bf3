import DualityCore
import Foundation
import TestSupport
import Testing

@testable import DualityReference

/// Operands that do not fit are turned away by name before anything is computed.
@Suite struct SSDInputTests {
    /// B = 2, L = 3, H = 4, P = 5, N = 6; x has 2 heads, B 2, C 4.
    static func inputs(
        x: [Int] = [2, 3, 2, 5], dt: [Int] = [2, 3, 4], a: [Int] = [4], b: [Int] = [2, 3, 2, 6],
        c: [Int] = [2, 3, 4, 6], d: [Int]? = [4], z: [Int]? = [2, 3, 4, 5], dtBias: [Int]? = [4],
        initialState: [Int]? = [2, 4, 5, 6], fill: (name: String, value: Double)? = nil, headMap: HeadMap? = nil,
        dtLimit: ClosedRange<Double> = 0...(.infinity)
    ) throws -> SSDInputs<Double> {
        func tensor(_ name: String, _ shape: [Int]) -> Tensor<Double> {
            var tensor = Tensor(repeating: -0.5, shape: shape)
            if let fill, fill.name == name { tensor.elements[1] = fill.value }
            return tensor
        }
        return try SSDInputs(
            x: tensor("x", x), dt: tensor("dt", dt), a: tensor("A", a), b: tensor("B", b), c: tensor("C", c),
            d: d.map { tensor("D", $0) }, z: z.map { tensor("z", $0) }, dtBias: dtBias.map { tensor("dt_bias", $0) },
            initialState: initialState.map { tensor("initial_states", $0) }, headMap: headMap, dtLimit: dtLimit)
    }

    @Test func operandsThatFitAreAccepted() throws {
        #expect(try Self.inputs().headMap == HeadMap(x: [0, 0, 1, 1], b: [0, 0, 1, 1], c: [0, 1, 2, 3]))
        #expect(try Self.inputs(d: [4, 5], z: nil, dtBias: nil, initialState: nil).stateDim == 6)
        #expect(
            try Self.inputs(
                x: [0, 3, 2, 5], dt: [0, 3, 4], b: [0, 3, 2, 6], c: [0, 3, 4, 6], d: nil, z: nil,
                initialState: nil
            ).batch == 0)
    }

    @Test func aWrongShapeNamesItsTensor() {
        func complaint(_ make: @autoclosure () throws -> SSDInputs<Double>) -> String? {
            do {
                _ = try make()
                return nil
            } catch let error as InputError where error.kind == .shape {
                return error.place
            } catch {
                return "\(error)"
            }
        }
        #expect(complaint(try Self.inputs(x: [2, 3, 10])) == "x")
        #expect(complaint(try Self.inputs(x: [2, 3, 2, 0])) == "x")
        #expect(complaint(try Self.inputs(dt: [2, 4, 4])) == "dt")
        #expect(complaint(try Self.inputs(dt: [2, 3])) == "dt")
        #expect(complaint(try Self.inputs(a: [3])) == "A")
        #expect(complaint(try Self.inputs(b: [1, 3, 2, 6])) == "B")
        #expect(complaint(try Self.inputs(c: [2, 3, 4, 7])) == "C")
        #expect(complaint(try Self.inputs(d: [5])) == "D")
        #expect(complaint(try Self.inputs(d: [4, 6])) == "D")
        #expect(complaint(try Self.inputs(z: [2, 3, 2, 5])) == "z")
        #expect(complaint(try Self.inputs(dtBias: [1])) == "dt_bias")
        #expect(complaint(try Self.inputs(initialState: [2, 4, 6, 5])) == "initial_states")
        #expect(complaint(try Self.inputs(x: [2, 3, 3, 5])) == "heads of x")
        #expect(complaint(try Self.inputs(b: [2, 3, 3, 6])) == "heads of B")
        #expect(complaint(try Self.inputs(c: [2, 3, 8, 6])) == "heads of C")
        #expect(
            complaint(try Self.inputs(headMap: HeadMap(x: [0, 1, 0, 2], b: [0, 0, 0, 0], c: [3, 2, 1, 0])))
                == "head map of x")
        #expect(complaint(try Self.inputs(headMap: .grouped(heads: 2, x: 2, b: 2, c: 2))) == "head map")
    }

    @Test(arguments: ["A", "dt", "dt_bias"]) func anInfiniteStepIsNamedWithItsIndex(name: String) throws {
        let index = ["A": "[1]", "dt": "[0, 0, 1]", "dt_bias": "[1]"]
        for value in [Double.nan, -.infinity] {
            let error = #expect(throws: InputError.self) { try Self.inputs(fill: (name, value)) }
            #expect(error?.kind == .notFinite)
            #expect(error?.place == name + (index[name] ?? ""))
        }
    }

    @Test func aGrowingStateIsTurnedAway() {
        let rate = #expect(throws: InputError.self) { try Self.inputs(fill: ("A", 1e-3)) }
        #expect(rate?.kind == .value)
        #expect(rate?.place == "A")
        let step = #expect(throws: InputError.self) { try Self.inputs(dtLimit: -1...1) }
        #expect(step?.place == "dt_limit")
    }

    @Test(arguments: [0, -3]) func aChunkOfNoTokensIsTurnedAway(size: Int) {
        let error = #expect(throws: InputError.self) { try SSDForm.chunked(size: size).evaluate(Self.inputs()) }
        #expect(error?.kind == .value)
        #expect(error?.place == "chunk size")
    }

    @Test func aFileWithoutAnOperandOrWithANaNSaysWhich() throws {
        let directory = try Fixtures.temporaryDirectory()
        defer { try? FileManager.default.removeItem(at: directory) }
        let path = directory.appendingPathComponent("case.safetensors").path
        let inputs = try Self.inputs()

        var incomplete = SafetensorsWriter()
        try incomplete.add("x", inputs.x)
        try incomplete.add("dt", inputs.dt)
        try incomplete.add("A", inputs.a)
        try incomplete.add("B", inputs.b)
        var broken = incomplete
        try incomplete.write(to: path)
        let missing = #expect(throws: InputError.self) {
            try SSDInputs<Double>(readingFrom: SafetensorsFile(path: path))
        }
        #expect(missing?.kind == .missing)
        #expect(missing?.place == "\(path): C")

        var c = inputs.c
        c.elements[7] = .nan
        try broken.add("C", c)
        try broken.write(to: path)
        let notFinite = #expect(throws: InputError.self) {
            try SSDInputs<Double>(readingFrom: SafetensorsFile(path: path))
        }
        #expect(notFinite?.kind == .notFinite)
        #expect(notFinite?.place == "\(path): C[0, 0, 1, 1]")
    }
}
