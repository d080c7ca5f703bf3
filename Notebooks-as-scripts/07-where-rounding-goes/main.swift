// %% [markdown]
// # Where rounding goes
//
// A correct kernel is never exact. How wrong may it be? Three numbers travel with every output: the
// error, a bound it cannot pass, and a sigma it should not stray from. Between them a good kernel
// and a sloppy one are easy to tell apart.
//
// At the end you will know
//
// - what a certificate (bound) and a discriminator (sigma) are for, and why one needs both;
// - why $\ln(1+e^u)$ must be computed as `log1p`;
// - why decays are sums over a segment and not differences of running sums, and how both grow with
//   the chunk.

// %% [markdown]
// ## Real operands
//
// The first Mamba-2 layer of the embedded model reads a piece of prose. Its operands are what we
// judge kernels on. The oracle is the recurrent form in float64.

// %%
import DualityCore
import DualityNotebook
import DualityNumerics
import DualityReference
import DualityVerify
import Foundation

let embedded = EmbeddedModel<Float>.open()
let novel = try String(contentsOfFile: "\(embedded.directory)/data/heldout.txt", encoding: .utf8)
let tokens = Array(embedded.tokenizer.encode(String(novel.prefix(1200))).prefix(192))
let inputs = try embedded.model.scanInputs(reading: tokens)[0].inputs.converted(to: Double.self)
let oracle = try SSDForm.recurrent.evaluate(inputs)

// %% [markdown]
// ## Bound and sigma
//
// A *kernel's arithmetic* says in which format each thing is read, summed and stored. From it the
// library derives, for every single output,
//
// - the **bound**: all roundings at their worst, all in the same direction. A correct kernel never
//   leaves it, whatever the order of its sums. It is a proof, and as pessimistic as proofs are;
// - the **sigma**: the same roundings taken as random and independent, their variances added. A
//   correct kernel stays within a few.
//
// The promise here is float32 throughout. Look at one output channel along the text.

// %%
let promise = KernelArithmetic(.f32, form: .recurrent)
let bound = try promise.errorBound(for: inputs).y.elements
let sigma = try promise.roundingSigma(for: inputs).y.elements

func errors(_ arithmetic: KernelArithmetic) throws -> [Double] {
    zip(try arithmetic.emulate(inputs).y.elements, oracle.y.elements).map { abs($0 - $1) }
}
let right = try errors(promise)
let (width, channel) = (inputs.heads * inputs.headDim, 2 * inputs.headDim + 5)
func along(_ numbers: [Double]) -> [(Double, Double)] {
    (0..<inputs.length).map { (Double($0), max(numbers[$0 * width + channel], 1e-12)) }
}
figure(
    "channel", "One channel of one head: the error of a correct float32 kernel, its sigma, and the bound.",
    .chart(
        x: Axis("position in the text (tokens)", range: 0...192),
        y: Axis("absolute error of y", .log10, range: 1e-10...1e-4), .points("error", along(right)),
        .line("sigma", along(sigma)), .line("bound", along(bound))))

let median = { (numbers: [Double]) in numbers.sorted()[numbers.count / 2] }
let ratios = zip(right, sigma).map { $0 / $1 }
value("outputs", right.count)
value("overBound", zip(right, bound).map { $0 / $1 }.max() ?? 0, .significant(2))
value("overSigma", ratios.max() ?? 0, .significant(2))
value("medianSigma", median(ratios), .significant(2))
value("pessimism", median(zip(bound, right).map { $0 / max($1, 1e-300) }), .significant(2))
claim("no error leaves its bound", zip(right, bound).allSatisfy { $0 <= $1 })
claim("no error is beyond 10 sigma", ratios.allSatisfy { $0 < 10 })

// %% [markdown]
// Of {{outputs}} outputs the worst reaches {{overBound}} of its bound and {{overSigma}} sigma; the
// median error is {{medianSigma}} sigma, and the median bound is {{pessimism}} times its error. So
// the bound alone would forgive a lot. Sigma is where the sharp eyes are.
//
// ## Kernels with something wrong
//
// The library can imitate a kernel, rounding for rounding. Here are a correct one in another order,
// and four with a shortcut. All are judged by the same promise: float32.

// %%
var chunked = KernelArithmetic(.f32, form: .chunked(size: 64))
var naive = promise
naive.softplus = .naive
var differences = KernelArithmetic(.f32, form: .quadratic)
differences.decaySums = .differences
var half = promise
half.state = .f16
var brain = promise
brain.state = .bf16

let norm = oracle.y.elements.reduce(0) { $0 + $1 * $1 }.squareRoot()
func judge(_ name: String, _ arithmetic: KernelArithmetic) throws -> (
    row: [String], sigmas: Double, bounds: Double
) {
    let found = try errors(arithmetic)
    let relative = found.reduce(0) { $0 + $1 * $1 }.squareRoot() / norm
    let sigmas = zip(found, sigma).map { $0 / $1 }
    let bounds = zip(found, bound).map { $0 / $1 }.max() ?? 0
    return (
        [name] + [relative, bounds, sigmas.max() ?? 0, median(sigmas)].map { text($0, .significant(2)) },
        sigmas.max() ?? 0, bounds
    )
}
let kernels: [(String, KernelArithmetic)] = [
    ("float32, recurrent", promise), ("float32, chunked, Q = 64", chunked),
    ("softplus as ln(1 + e^u)", naive), ("quadratic, differences of sums", differences),
    ("float16 state", half), ("bfloat16 state", brain),
]
let verdicts = try kernels.map { try judge($0.0, $0.1) }
table(
    ["kernel", "relative error", "largest error / bound", "largest error / sigma", "median / sigma"],
    verdicts.map(\.row))
figure(
    "kernels", "The largest error of each kernel in sigmas of the float32 promise.",
    .bars(x: Axis("largest error / sigma", .log10), zip(kernels, verdicts).map { ($0.0, $1.sigmas) }))
value("naiveSigma", verdicts[2].sigmas, .significant(2))
value("halfSigma", verdicts[4].sigmas, .significant(2))
value("brainSigma", verdicts[5].sigmas, .significant(2))
claim("the other order is as good", verdicts[1].sigmas < 10 && verdicts[1].bounds < 1)
claim("a 16-bit state is beyond the bound", verdicts[4].bounds > 1 && verdicts[5].bounds > 1)
claim("and thousands of sigmas out", verdicts[4].sigmas > 1000 && verdicts[5].sigmas > 1000)

// %% [markdown]
// A usual tolerance of one part in a thousand lets the float16 state pass for float32. In sigmas it
// is {{halfSigma}} out, and the bfloat16 state {{brainSigma}}. The softplus shortcut is at
// {{naiveSigma}} on this layer; how much it does depends on how small the steps are, which is next.
//
// ## Softplus, two ways
//
// The step is $\Delta = \ln(1 + e^u)$. For $u = -10$ the sum $1 + e^u$ keeps only a few digits of
// $e^u$, and for $u < -17$ none in float32: the step becomes exactly zero and the head stops.
// `log1p` takes $e^u$ alone and loses nothing.

// %%
let arguments = stride(from: -24.0, through: 4, by: 0.5).map { $0 }
func relativeError(_ approximate: (Float) -> Float) -> [(Double, Double)] {
    arguments.map { u in
        let exact = Double.softplus(u)
        return (u, max(abs(Double(approximate(Float(u))) - exact) / exact, 1e-9))
    }
}
let shortcut = relativeError { Float.log(1 + Float.exp($0)) }
let accurate = relativeError { Float.softplus($0) }
figure(
    "softplus",
    "Relative error of two float32 softplus functions. An error of 1 means that the step is zero.",
    .chart(
        x: Axis("u = dt + bias"), y: Axis("relative error of Δ", .log10, range: 1e-9...10),
        .lineAndPoints("ln(1 + e^u)", shortcut), .lineAndPoints("log1p(e^u)", accurate)))
let minusTen = shortcut.first { $0.0 == -10 }?.1 ?? 0
value("minusTen", minusTen, .scientific(1))
claim("log1p keeps 6 digits everywhere", accurate.allSatisfy { $0.1 < 1e-6 })
claim("the shortcut has lost all of them at -18", (shortcut.first { $0.0 == -18 }?.1 ?? 0) == 1)

// %% [markdown]
// At $u = -10$ the shortcut is wrong by {{minusTen}}. Small steps belong to the heads with the
// longest memory: the error sits where it does most harm.
//
// ## Sums of logarithms, two ways
//
// The decay from $s$ to $t$ is $e^{z}$ with $z = \Delta_{s+1}A + \dots + \Delta_t A$. A fast kernel
// keeps running sums $c_t$ and takes $z = c_t - c_s$. But $c_t$ may be $-200$ where $z$ is $-0.1$,
// and its rounding error is that of a number of size 200. Summing over the segment itself has
// errors of the size of $z$. The longer the chunk, the larger $c_t$.

// %%
var strong = SSDCase(seed: 5)
(strong.length, strong.headDim, strong.stateDim, strong.decay) = (1024, 8, 8, 0.3)
(strong.heads, strong.xHeads, strong.bHeads, strong.cHeads) = (2, 2, 2, 2)
let fading = try strong.inputs(as: Double.self)
let exact = try SSDForm.recurrent.evaluate(fading).y.elements
func error(_ size: Int, _ sums: KernelArithmetic.DecaySums) throws -> Double {
    var arithmetic = KernelArithmetic(.f32, form: .chunked(size: size))
    arithmetic.decaySums = sums
    let found = try arithmetic.emulate(fading).y.elements
    let squares = zip(found, exact).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }
    return (squares / exact.reduce(0) { $0 + $1 * $1 }).squareRoot()
}
let sizes = [16, 64, 256, 1024]
let segments = try sizes.map { (Double($0), try error($0, .segments)) }
let runningSums = try sizes.map { (Double($0), try error($0, .differences)) }
figure(
    "chunks", "Relative error of y in float32 against the chunk size, 1,024 tokens with strong decay.",
    .chart(
        x: Axis("chunk size Q (tokens)", .log2), y: Axis("relative error of y", .log10),
        .lineAndPoints("differences of running sums", runningSums),
        .lineAndPoints("sums over the segment", segments)))
value("growth", runningSums[3].1 / runningSums[0].1, .significant(2))
value("segmentGrowth", segments[3].1 / segments[0].1, .significant(2))
claim("running sums get worse with the chunk", runningSums[3].1 > 3 * runningSums[0].1)
claim("segment sums lose far less", segments[3].1 < 4 * segments[0].1)

// %% [markdown]
// From $Q = 16$ to $Q = 1024$ the error grows {{growth}}-fold with running sums and
// {{segmentGrowth}}-fold with segment sums. This is why sums restart with every chunk in every
// serious kernel, and why the reference never takes a difference.
//
// ## Exercises
//
// **1.** Keep the running sums but in float64. How much of the error at $Q = 1024$ goes away?

// %% [markdown] fold="Answer 1"
// All of it that came from the sums. The error falls to that of the segment sums, which is the
// arithmetic that is left.

// %% fold="Answer 1"
let bare: SSDInputs<Float> = try SSDInputs(
    x: fading.x, dt: fading.dt, a: fading.a, b: fading.b, c: fading.c, dtBias: fading.dtBias,
    dtSoftplus: fading.dtSoftplus, dtLimit: fading.dtLimit
).converted()
let truth = try SSDForm.recurrent.evaluate(bare.converted(to: Double.self)).y.elements
let taken = bare.effectiveSteps().elements
/// One chunk of 1,024 tokens in float32, its running sums in a format of their own.
func error<Sum: RealNumber>(sumsIn format: Sum.Type) -> Double {
    let (heads, width) = (bare.heads, bare.headDim)
    let (x, b, c) = (bare.x.elements, bare.b.elements, bare.c.elements)
    var (squares, norm) = (0.0, 0.0)
    for h in 0..<heads {
        var running: [Sum] = []
        for t in 0..<bare.length {
            running.append((running.last ?? 0) + Sum(taken[t * heads + h] * bare.a[h]))
            let i = (t * heads + h) * width
            var y = [Float](repeating: 0, count: width)
            for s in 0...t {
                let j = (s * heads + h) * width
                var weight = Float.exp((running[t] - running[s]).float) * taken[s * heads + h]
                weight *= (0..<width).reduce(0) { $0 + c[i + $1] * b[j + $1] }
                for p in 0..<width { y[p] += weight * x[j + p] }
            }
            for p in 0..<width {
                squares += (Double(y[p]) - truth[i + p]) * (Double(y[p]) - truth[i + p])
                norm += truth[i + p] * truth[i + p]
            }
        }
    }
    return (squares / norm).squareRoot()
}
let (narrowSums, wideSums) = (error(sumsIn: Float.self), error(sumsIn: Double.self))
print("running sums in float32: \(text(narrowSums)); in float64, the rest in float32: \(text(wideSums))")
claim("float64 sums end the matter", wideSums < narrowSums / 3 && wideSums < 4 * segments[3].1)

// %% [markdown]
// **2.** A bfloat16 state is rounded at every token, bfloat16 inputs only once. Why is the state
// not a hundred times worse?

// %% [markdown] fold="Answer 2"
// A rounding error fades with the state that carries it. In a head that forgets within three tokens
// only a few roundings are alive at any time. It is the heads with long memories that pay.

// %% fold="Answer 2"
var coarse = promise
coarse.inputs = .bf16
print("bfloat16 inputs: \(try judge("", coarse).row[1]), bfloat16 state: \(verdicts[5].row[1])")
let rough = try errors(brain)
let heads = (0..<inputs.heads).map { h -> (decay: Double, error: Double) in
    let places = rough.indices.filter { $0 % width / inputs.headDim == h }
    let squares = places.reduce(0) { $0 + rough[$1] * rough[$1] }
    let norm = places.reduce(0) { $0 + oracle.y.elements[$1] * oracle.y.elements[$1] }
    return (oracle.logDecay[0, h] / Double(inputs.length), (squares / norm).squareRoot())
}.sorted { $0.decay < $1.decay }
for head in heads { print("decay a token \(text(exp(head.decay), .fixed(3))): error \(text(head.error))") }
claim("the slowest head is hit harder than the fastest", (heads.last?.error ?? 0) > (heads.first?.error ?? 1))

// %% [markdown]
// **3.** The bound of a float32 kernel was far from every error. Is it *ever* reached? Think of one
// addition.

// %% [markdown] fold="Answer 3"
// For one operation it is: a tie, half a spacing off, is as wrong as rounding can be. Over hundreds
// of operations all would have to be ties in one direction.

// %% fold="Answer 3"
let tie = 1 + NumberFormat.f32.unitRoundoff
let rounded = NumberFormat.f32.round(tie)
print("1 + 2^-24 in float32: \(rounded), error \(text(tie - rounded))")
claim("the error is the unit roundoff", tie - rounded == NumberFormat.f32.unitRoundoff)
