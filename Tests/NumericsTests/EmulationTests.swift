import DualityCore
import Foundation
import TestSupport
import Testing

@testable import DualityNumerics
@testable import DualityReference

@Suite struct EmulationTests {
    /// The same kernels on the same numbers: the emulation must see most of what separates them
    /// from the exact answer.
    @Test(arguments: ConformanceCase.scans.filter { $0.dtype == "bf16" })
    func theChunkedKernelsInBFloat16AreForeseen(of example: ConformanceCase) throws {
        let file = try example.file()
        let inputs: SSDInputs<Double> = try example.inputs()
        let emulated = try KernelArithmetic.mambaChunkScan(.bf16, chunkSize: example.chunkSize).emulate(inputs)
        let exact = try SSDForm.recurrent.evaluate(inputs)
        for (name, ours, kernel, answer) in [
            ("y", emulated.y, try file.tensor("y_triton", as: Double.self), exact.y),
            (
                "state", emulated.finalState, try file.tensor("final_states_triton", as: Double.self),
                exact.finalState
            ),
        ] {
            let (left, all) = (relativeL2(ours.elements, kernel.elements), relativeL2(answer.elements, kernel.elements))
            #expect(left < all / 10, "\(name) of \(example.name): \(left) from the emulation, \(all) from exact")
        }
    }

    @Test(arguments: ConformanceCase.steps.filter { $0.dtype == "bf16" })
    func theStepKernelsAreForeseen(of example: ConformanceCase) throws {
        let file = try example.file()
        let inputs = try example.stepInputs()
        let state = try NumberFormat(named: #require(example.stateDtype))
        let emulated = try KernelArithmetic.mambaStateUpdate(.bf16, state: state).emulate(inputs)
        let exact = try SSDForm.recurrent.evaluate(inputs)
        let y = try file.tensor("y_triton", as: Double.self).elements
        let left = relativeL2(emulated.y.elements, y)
        let all = relativeL2(exact.y.elements, y)
        #expect(left < all / 10, "y of \(example.name): \(left) from the emulation, \(all) from exact")
        let states = try file.tensor("state_final_triton", as: Double.self).elements
        let stateLeft = relativeL2(emulated.finalState.elements, states)
        #expect(stateLeft < 1e-4, "state of \(example.name): \(stateLeft) from the emulation")
    }

    /// With one wide format everywhere there is nothing to emulate but the order of the sums.
    @Test(arguments: [SSDForm.recurrent, .chunked(size: 16), .quadratic])
    func wideFormatsGiveTheFormsThemselves(form: SSDForm) throws {
        let inputs = try SSDShape(batch: 1, length: 50).inputs()
        let exact = try SSDForm.recurrent.evaluate(inputs)
        let double = try KernelArithmetic(.f64, form: form).emulate(inputs)
        #expect(relativeL2(double.y.elements, exact.y.elements) < 1e-14)
        #expect(relativeL2(double.finalState.elements, exact.finalState.elements) < 1e-14)
        let single = try KernelArithmetic(.f32, form: form).emulate(inputs)
        let error = relativeL2(single.y.elements, exact.y.elements)
        #expect(error < 1e-6 && error > 1e-9, "float32: \(error)")
    }

    /// Each rounding has an effect of its own size, and none is forgotten.
    @Test func everyNarrowFormatShows() throws {
        let inputs = try SSDShape(batch: 1, length: 60).inputs()
        let exact = try SSDForm.recurrent.evaluate(inputs)
        for key in ["inputs", "parameters", "steps", "scaled", "products", "chunks", "state", "out"] {
            let arithmetic = try KernelArithmetic(parsing: "form=chunked:16,\(key)=bf16")
            let error = try relativeL2(arithmetic.emulate(inputs).y.elements, exact.y.elements)
            #expect(error > 1e-4 && error < 3e-2, "\(key)=bf16: \(error)")
        }
    }

    @Test func packedSequencesAreThoseTheKernelRunsApart() throws {
        let shape = SSDShape(batch: 1, length: 30, xHeads: 4, bHeads: 4)
        let inputs = try shape.inputs().replacing(initialState: .some(nil))
        let arithmetic = try KernelArithmetic(parsing: "mamba_ssm,form=chunked:8,sums=segments")
        let packed = try arithmetic.emulate(
            inputs.replacing(packing: .some(Packing(cumulativeLengths: [0, 8, 24, 30]))))
        for range in [0..<8, 8..<24, 24..<30] {
            let alone = try arithmetic.emulate(inputs.tokens(range, initialState: nil))
            #expect(try packed.y.tokens(range) == alone.y, "tokens \(range)")
        }
    }

    @Test func anArithmeticReadsBackFromItsText() throws {
        for preset in KernelArithmetic.presets {
            #expect(try KernelArithmetic(parsing: preset.arithmetic.description) == preset.arithmetic)
            #expect(try KernelArithmetic(parsing: preset.name) == preset.arithmetic)
            let json = try JSONEncoder().encode(["arithmetic": preset.arithmetic])
            let back = try JSONDecoder().decode([String: KernelArithmetic].self, from: json)
            #expect(back["arithmetic"] == preset.arithmetic)
        }
        let given = try KernelArithmetic(parsing: "inputs=bf16,products=bf16,state=f32,out=bf16")
        #expect(given.inputs == .bf16 && given.products == .bf16 && given.output == .bf16)
        #expect(given.state == .f32 && given.accumulate == .f32 && given.form == .recurrent)
        #expect(try KernelArithmetic(parsing: "mamba_ssm,state=bf16,form=chunked:64").form == .chunked(size: 64))
    }

    @Test(arguments: [
        ("inputs=f33", InputError.Kind.dtype), ("speed=fast", .unknown), ("nobody", .unknown),
        ("form=chunked:0", .value),
        ("form=diagonal", .value), ("softplus=smooth", .value), ("accumulate=bf16", .value), ("", .unknown),
        ("inputs=bf16,triton", .unknown), ("inputs=", .unknown),
    ])
    func whatCannotBeReadIsNamed(text: String, kind: InputError.Kind) {
        let error = #expect(throws: InputError.self) { try KernelArithmetic(parsing: text) }
        #expect(error?.kind == kind, "\(String(describing: error))")
    }
}

extension ConformanceCase {
    /// A sequence of decode steps as one call: [steps, b, …] is [b, steps, …] for the single row
    /// these cases have.
    func stepInputs() throws -> SSDInputs<Double> {
        let file = try file()
        func tokens(_ name: String) throws -> Tensor<Double> {
            let all = try file.tensor(name, as: Double.self)
            return try Tensor(shape: [all.shape[1], all.shape[0]] + all.shape[2...], elements: all.elements)
        }
        return try SSDInputs(
            x: tokens("x"), dt: tokens("dt"), a: file.tensor("A"), b: tokens("B"), c: tokens("C"),
            d: file.contains("D") ? file.tensor("D") : nil, z: file.contains("z") ? tokens("z") : nil,
            dtBias: file.contains("dt_bias") ? file.tensor("dt_bias") : nil, initialState: file.tensor("state0"))
    }
}
