import DualityCore
import TestSupport
import Testing

@testable import DualityNumerics
@testable import DualityReference

/// A chunked kernel in float32 with one thing wrong.
struct FaultyKernel {
    enum Fault: String, CaseIterable, Sendable {
        case none
        case softplusIsNaive
        case stateIsFloat16
        case stateIsBFloat16
        case rateIsBFloat16
        case biasIsForgotten
        case maskDecaysTheInputItself
        case chunkStateDecaysTheInputItself
        case readOutMissesTheOwnDecay
        case stateEntersUndecayed
        case decaysAreLongDifferences
        case paddingGoesThroughSoftplus
        case skipTakesTheSteppedInput
        case stepIsClampedAtAThousandth
        case initialStateIsIgnored
        case productsAreTF32
    }

    let fault: Fault
    let chunkSize: Int

    /// y `[B, L, H, P]` and the final state `[B, H, P, N]` of a call with dtBias, D and an initial
    /// state.
    func run(_ inputs: SSDInputs<Float>) -> (y: [Double], state: [Double]) {
        let (length, heads, headDim, stateDim) = (inputs.length, inputs.heads, inputs.headDim, inputs.stateDim)
        var y = Tensor(repeating: Float.zero, shape: [1, length, heads, headDim])
        var states: [Float] = []
        for h in 0..<heads {
            let rate = fault == .rateIsBFloat16 ? Float(BFloat16(inputs.a[h])) : inputs.a[h]
            func step(_ raw: Float) -> Float {
                let u = raw + (fault == .biasIsForgotten ? 0 : inputs.dtBias?[h] ?? 0)
                let step: Float = fault == .softplusIsNaive ? .log(1 + .exp(u)) : .thresholdedSoftplus(u)
                return fault == .stepIsClampedAtAThousandth ? max(step, 0.001) : step
            }
            let steps = (0..<length).map { step(inputs.dt[0, $0, h]) }
            let z = steps.map { $0 * rate }
            var sums: [Float] = []  // over all of the sequence, for the fault that takes differences of them
            for z in z { sums.append((sums.last ?? 0) + z) }
            /// ln of the decay over tokens first ... last.
            func seg(_ first: Int, _ last: Int) -> Float {
                if fault == .decaysAreLongDifferences && first > 0 && last >= first {
                    return sums[last] - sums[first - 1]
                }
                return first > last ? 0 : z[first...last].reduce(0, +)
            }
            func stored(_ value: Float) -> Float {
                switch fault {
                case .stateIsFloat16: Float(NumberFormat.f16.round(Double(value)))
                case .stateIsBFloat16: Float(BFloat16(value))
                default: value
                }
            }
            func factor(_ value: Float) -> Float {
                fault == .productsAreTF32 ? Float(NumberFormat.tf32.round(Double(value))) : value
            }
            func b(_ t: Int, _ n: Int) -> Float { factor(inputs.b[0, t, inputs.headMap.b[h], n]) }
            func c(_ t: Int, _ n: Int) -> Float { factor(inputs.c[0, t, inputs.headMap.c[h], n]) }
            func x(_ t: Int, _ p: Int) -> Float { inputs.x[0, t, inputs.headMap.x[h], p] }

            var state = (0..<headDim * stateDim).map { i -> Float in
                fault == .initialStateIsIgnored
                    ? 0 : inputs.initialState?[0, h, i / stateDim, i % stateDim] ?? 0
            }
            for first in stride(from: 0, to: length, by: chunkSize) {
                let end = min(first + chunkSize, length) - 1
                for t in first...end {
                    for s in first...t {
                        let gram = (0..<stateDim).reduce(Float.zero) { $0 + c(t, $1) * b(s, $1) }
                        let from = fault == .maskDecaysTheInputItself ? s : s + 1
                        let weight = factor(Float.exp(seg(from, t)) * gram * steps[s])
                        for p in 0..<headDim { y[0, t, h, p] += weight * factor(x(s, p)) }
                    }
                    let decay = Float.exp(fault == .readOutMissesTheOwnDecay ? seg(first, t - 1) : seg(first, t))
                    for p in 0..<headDim {
                        let sum = (0..<stateDim).reduce(Float.zero) { $0 + state[p * stateDim + $1] * c(t, $1) }
                        y[0, t, h, p] += decay * sum
                        let skipped = fault == .skipTakesTheSteppedInput ? steps[t] * x(t, p) : x(t, p)
                        y[0, t, h, p] += (inputs.d?[h] ?? 0) * skipped
                    }
                }
                var decay = seg(first, end)
                if fault == .paddingGoesThroughSoftplus {
                    for _ in end + 1..<max(first + chunkSize, end + 1) { decay += step(0) * rate }
                }
                let padding = decay - seg(first, end)
                for p in 0..<headDim {
                    for n in 0..<stateDim {
                        var update = Float.zero
                        for s in first...end {
                            let from = fault == .chunkStateDecaysTheInputItself ? s : s + 1
                            update += Float.exp(seg(from, end) + padding) * steps[s] * b(s, n) * x(s, p)
                        }
                        let kept = fault == .stateEntersUndecayed ? 1 : Float.exp(decay)
                        state[p * stateDim + n] = stored(kept * state[p * stateDim + n] + update)
                    }
                }
            }
            states += state
        }
        return (y.elements.map(Double.init), states.map(Double.init))
    }
}

@Suite struct ErrorBoundMutantTests {
    /// Slow and fast heads, small steps and smaller ones, a last chunk that is not full.
    static func inputs(seed: UInt64) throws -> SSDInputs<Double> {
        let (length, heads, headDim, stateDim) = (150, 2, 4, 8)
        var random = RandomSource(seed: seed)
        func normal(_ shape: [Int]) -> Tensor<Double> {
            Tensor(repeating: 0.0, shape: shape).map { _ in NumberFormat.f32.round(random.normal()) }
        }
        return try SSDInputs(
            x: normal([1, length, heads, headDim]), dt: normal([1, length, heads]),
            a: Tensor([-1.337, -14.29].map { NumberFormat.f32.round($0) }), b: normal([1, length, heads, stateDim]),
            c: normal([1, length, heads, stateDim]), d: normal([heads]),
            dtBias: Tensor([-2.5, -9.75]), initialState: normal([1, heads, headDim, stateDim]))
    }

    @Test(arguments: FaultyKernel.Fault.allCases) func theBoundTellsRightFromWrong(fault: FaultyKernel.Fault) throws {
        for seed in UInt64(1)...5 {
            let inputs = try Self.inputs(seed: seed)
            let exact = try SSDForm.recurrent.evaluate(inputs)
            let found = try FaultyKernel(fault: fault, chunkSize: 32).run(inputs.converted())
            let arithmetic = KernelArithmetic(.f32, form: .chunked(size: 32))
            let bound = try arithmetic.errorBound(for: inputs)
            let ratio = max(
                ErrorBoundTests.worst(found.y, exact.y.elements, bound.y.elements),
                ErrorBoundTests.worst(found.state, exact.finalState.elements, bound.finalState.elements))
            let sigma = try arithmetic.roundingSigma(for: inputs)
            let sigmas = max(
                ErrorBoundTests.worst(found.y, exact.y.elements, sigma.y.elements),
                ErrorBoundTests.worst(found.state, exact.finalState.elements, sigma.finalState.elements))
            let figures = "\(fault), seed \(seed): error / bound \(ratio), error / sigma \(sigmas)"
            switch fault {
            case .none:
                #expect(ratio < 1 && sigmas < 8, "\(figures)")
            case .decaysAreLongDifferences:
                // 150 tokens are too few for the bound, which allows any order of a chunk's sums.
                #expect(sigmas > 8, "\(figures)")
            default:
                #expect(ratio > 1 && sigmas > 8, "\(figures)")
            }
        }
    }

    /// Over a long sequence the differences of running sums leave the bound as well.
    @Test func longDifferencesLeaveTheBoundInTime() throws {
        let length = 3000
        var random = RandomSource(seed: 4)
        func normal(_ shape: [Int]) -> Tensor<Double> {
            Tensor(repeating: 0.0, shape: shape).map { _ in NumberFormat.f32.round(random.normal()) }
        }
        let inputs = try SSDInputs<Double>(
            x: normal([1, length, 1, 2]), dt: normal([1, length, 1]), a: Tensor([-3.0]), b: normal([1, length, 1, 4]),
            c: normal([1, length, 1, 4]), dtBias: Tensor([0.0]))
        let exact = try SSDForm.recurrent.evaluate(inputs)
        let bound = try KernelArithmetic(.f32, form: .chunked(size: 32)).errorBound(for: inputs)
        for (fault, isWrong) in [(FaultyKernel.Fault.none, false), (.decaysAreLongDifferences, true)] {
            let found = try FaultyKernel(fault: fault, chunkSize: 32).run(inputs.converted())
            let ratio = ErrorBoundTests.worst(found.y, exact.y.elements, bound.y.elements)
            #expect((ratio > 1) == isWrong, "\(fault): error / bound \(ratio)")
        }
    }

    /// What a narrower state costs is far outside what a float32 state may differ by.
    @Test(arguments: [NumberFormat.bf16, .f16, .e4m3, .e5m2]) func aNarrowStateIsNoFloat32State(format: NumberFormat)
        throws
    {
        let inputs = try Self.inputs(seed: 6)
        let narrow = try KernelArithmetic.mambaStateUpdate(.f32, state: format).emulate(inputs)
        let exact = try SSDForm.recurrent.evaluate(inputs)
        let ratio = try ErrorBoundTests.worst(
            narrow, exact, KernelArithmetic.mambaStateUpdate(.f32).errorBound(for: inputs))
        #expect(ratio > 10, "\(format): error / bound \(ratio)")
    }
}
