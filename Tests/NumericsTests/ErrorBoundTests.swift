import DualityCore
import TestSupport
import Testing

@testable import DualityNumerics
@testable import DualityReference

@Suite struct ErrorBoundTests {
    /// The largest error / bound over the numbers of a result; infinity for a NaN or an error where
    /// none is allowed.
    static func worst(_ found: SSDOutputs<Double>, _ exact: SSDOutputs<Double>, _ bound: SSDErrorSizes) -> Double {
        max(
            worst(found.y.elements, exact.y.elements, bound.y.elements),
            worst(found.sequenceStates.elements, exact.sequenceStates.elements, bound.sequenceStates.elements))
    }

    static func worst(_ found: [Double], _ exact: [Double], _ bound: [Double]) -> Double {
        var worst = 0.0
        for i in exact.indices where !(found[i] == exact[i] || bound[i] == .infinity) {
            let ratio = (found[i] - exact[i]).magnitude / bound[i]
            if !(ratio <= worst) { worst = ratio.isNaN ? .infinity : ratio }
        }
        return worst
    }

    @Test(arguments: ConformanceCase.scans) func theOfficialKernelsAreInside(of example: ConformanceCase) throws {
        let file = try example.file()
        guard file.contains("y_triton") else { return }
        let inputs: SSDInputs<Double> = try example.inputs()
        let format = try NumberFormat(named: example.dtype)
        let arithmetic = KernelArithmetic.mambaChunkScan(format, chunkSize: example.chunkSize)
        let bound = try arithmetic.errorBound(for: inputs)
        let y = try Self.worst(
            file.tensor("y_triton", as: Double.self).elements, file.tensor("y_f64").elements, bound.y.elements)
        let state = try Self.worst(
            file.tensor("final_states_triton", as: Double.self).elements, file.tensor("final_states_f64").elements,
            bound.finalState.elements)
        #expect(y < 1 && state < 1, "\(example.name): error / bound of y \(y), of the state \(state)")
        #expect(y > 0.01, "\(example.name): a bound of y a hundred times too wide, \(y)")
    }

    @Test(arguments: ConformanceCase.steps.filter { $0.dtype == "bf16" })
    func theOfficialStepsAreInside(of example: ConformanceCase) throws {
        let file = try example.file()
        let state = try NumberFormat(named: #require(example.stateDtype))
        let arithmetic = KernelArithmetic.mambaStateUpdate(.bf16, state: state)
        let bound = try arithmetic.errorBound(for: example.stepInputs())
        let y = try Self.worst(
            file.tensor("y_triton", as: Double.self).elements, file.tensor("y_f64").elements, bound.y.elements)
        let states = try Self.worst(
            file.tensor("state_final_triton", as: Double.self).elements, file.tensor("state_final_f64").elements,
            bound.finalState.elements)
        #expect(y < 1 && states < 1, "\(example.name): error / bound of y \(y), of the state \(states)")
    }

    /// The forms of this package, in both of their formats.
    @Test(arguments: [UInt64](0..<8)) func theFormsAreInside(batch: UInt64) throws {
        for seed in batch * 40..<(batch + 1) * 40 {
            let example = try ErrorBoundCase(seed: seed)
            let exact = try SSDForm.recurrent.evaluate(example.inputs)
            let narrow: SSDInputs<Float> = try example.inputs.converted()
            for form in [SSDForm.recurrent, .chunked(size: example.chunkSize), .quadratic] {
                let single: SSDOutputs<Double> = try form.evaluate(narrow).converted()
                let ofSingle = try Self.worst(
                    single, exact, KernelArithmetic(.f32, form: form).errorBound(for: example.inputs))
                #expect(ofSingle < 1, "float32 \(form): error / bound \(ofSingle) on \(example)")
                let double = try form.evaluate(example.inputs)
                let ofDouble = try Self.worst(
                    double, exact, KernelArithmetic(.f64, form: form).errorBound(for: example.inputs))
                #expect(ofDouble < 1, "float64 \(form): error / bound \(ofDouble) on \(example)")
            }
        }
    }

    static let arithmetics = [
        "mamba_ssm_f32", "mamba_ssm_f32,products=tf32", "mamba_ssm", "mamba_ssm,scaled=bf16,sums=segments",
        "mamba_ssm,state=bf16", "mamba_ssm,inputs=f16,products=f16,chunks=f16,out=f16", "mamba_ssm_step",
        "mamba_ssm_step,state=bf16", "mamba_ssm_step,state=f16", "mamba_ssm,products=e4m3", "mamba_ssm,products=e5m2",
        "float32,steps=bf16,form=quadratic", "float64,form=chunked:32,state=f32,out=f32",
    ]

    /// Honest kernels of every arithmetic, on operands that are exact in bfloat16 and on such as
    /// are not.
    @Test(arguments: arithmetics) func theEmulationsAreInside(text: String) throws {
        for seed in UInt64(1000)..<1060 {
            let example = try ErrorBoundCase(seed: seed, format: seed % 2 == 0 ? .bf16 : .f32, widest: 16)
            var arithmetic = try KernelArithmetic(parsing: text)
            if case .chunked = arithmetic.form { arithmetic.form = .chunked(size: example.chunkSize) }
            guard let emulated = try? arithmetic.emulate(example.inputs) else { continue }  // dt overflows float16
            let ratio = try Self.worst(
                emulated, SSDForm.recurrent.evaluate(example.inputs), arithmetic.errorBound(for: example.inputs))
            #expect(ratio < 1, "\(text): error / bound \(ratio) on \(example)")
        }
    }

    /// Where a format overflows nothing is promised, and elsewhere something is.
    @Test func overflowMakesTheBoundInfinite() throws {
        let inputs = try SSDShape(batch: 1, length: 20, heads: 1, xHeads: 1, bHeads: 1, cHeads: 1).inputs()
        let loud = try inputs.replacing(x: inputs.x.map { $0 * 1e6 }, d: .some(nil), z: .some(nil))
        let half = try KernelArithmetic(parsing: "form=recurrent,state=f16")
        #expect(try half.errorBound(for: loud).finalState.elements.allSatisfy { $0 == .infinity })
        #expect(try half.errorBound(for: inputs).finalState.elements.allSatisfy { $0 < .infinity })
        let single = KernelArithmetic(.f32, form: .chunked(size: 8))
        #expect(try single.errorBound(for: loud).y.elements.allSatisfy { $0 < .infinity })
    }

    /// Each token is bounded by what the state remembers: a long past does not widen it.
    @Test func theBoundForgets() throws {
        let long = try SSDShape(batch: 1, length: 400, heads: 1, xHeads: 1, bHeads: 1, cHeads: 1, decay: 2).inputs()
        let bound = try KernelArithmetic(.f32, form: .recurrent).errorBound(for: long)
        let state = try SSDForm.recurrent.evaluate(long).finalState
        let (error, size) = (bound.finalState.elements.max() ?? 0, state.elements.map(\.magnitude).max() ?? 0)
        #expect(error < 1e-5 * size, "after 400 tokens: \(error) beside \(size)")
    }

    /// Every number of the sum counted by its size: what cancels shows as a condition number.
    @Test func magnitudesSeeWhatCancels() throws {
        let inputs = try SSDInputs<Double>(
            x: Tensor(shape: [1, 2, 1, 1], elements: [1, -1]), dt: Tensor(shape: [1, 2, 1], elements: [1, 1]),
            a: Tensor([0]), b: Tensor(shape: [1, 2, 1, 1], elements: [3, 2]),
            c: Tensor(shape: [1, 2, 1, 1], elements: [1, -1]), d: Tensor([0.5]), dtSoftplus: false)
        let magnitudes = try inputs.magnitudes()
        #expect(magnitudes.y.elements == [3.5, 5.5])  // y = 3 + 0.5 and -(3 - 2) - 0.5
        #expect(magnitudes.finalState.elements == [5])
        // The bound never exceeds what all terms together can lose.
        let shape = try SSDShape(batch: 1, length: 64).inputs()
        let bound = try KernelArithmetic(.f32, form: .chunked(size: 16)).errorBound(for: shape)
        let ratio = zip(bound.y.elements, try shape.magnitudes().y.elements).map { $0 / $1 }.max() ?? 0
        #expect(ratio < 1e-5 && ratio > 1e-7, "bound / magnitudes: \(ratio)")
    }

    @Test func theFloorIsTheAnswerRounded() throws {
        let inputs = try SSDShape(batch: 1, length: 200).inputs()
        let exact = try SSDForm.recurrent.evaluate(inputs)
        let floor = KernelArithmetic.mambaChunkScan(.bf16).roundingFloor(of: exact)
        // The mean square of a rounding over log-uniform numbers: u sqrt(1 / (8 ln 2)), u = 2^-8.
        #expect(floor.relativeY > 0.0014 && floor.relativeY < 0.0019, "bfloat16: \(floor.relativeY)")
        #expect(floor.relativeFinalState < 6e-8 && floor.relativeFinalState > 1e-9)
        let y = floor.sizes.y.elements[17]
        #expect(y == (Double(Float(BFloat16(exact.y.elements[17]))) - exact.y.elements[17]).magnitude)
    }

    @Test func noTokensNoError() throws {
        let inputs = try SSDShape(length: 0).inputs()
        for form in [SSDForm.recurrent, .chunked(size: 16), .quadratic] {
            let bound = try KernelArithmetic(.f32, form: form).errorBound(for: inputs)
            #expect(bound.y.count == 0)
            #expect(bound.finalState.count == inputs.batch * inputs.heads * inputs.headDim * inputs.stateDim)
        }
    }
}
