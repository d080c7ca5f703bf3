// %% [markdown]
// # When nothing is selected, it is a convolution
//
// Hold the step and the directions fixed, and SSD becomes a filter: an impulse response, a
// frequency response, an FFT. It is instructive to see it, and to see how far a trained model is
// from it.
//
// At the end you will know
//
// - the kernel of a time-invariant head, and why every such head is a low-pass filter;
// - what the FFT is good for here, and the kind of error it makes;
// - how much of a trained head's matrix a convolution could explain: selectivity as a number.

// %% [markdown]
// ## A matrix with equal diagonals
//
// Let $\Delta$, $B$ and $C$ be the same at every token. Then $M_{ts}$ depends on the distance
// $j = t - s$ alone:
//
// $$ M_{ts} = k_{t-s}, \qquad k_j = \Delta\; e^{\,j\,\Delta A}\; (C \cdot B). $$
//
// A matrix with equal diagonals is a convolution, $y = k * x$. Its Fourier transform is a product,
// so $y$ can be had from three FFTs in $O(L \log L)$.

// %%
import DualityAnalysis
import DualityCore
import DualityNotebook
import DualityReference

let length = 1024
func constantHead(halfLife: Double, x: [Double]) throws -> SSDInputs<Double> {
    try SSDInputs(
        x: Tensor(shape: [1, x.count, 1, 1], elements: x), dt: Tensor(repeating: 1, shape: [1, x.count, 1]),
        a: Tensor([-Double.log(2) / halfLife]), b: Tensor(repeating: 1, shape: [1, x.count, 1, 1]),
        c: Tensor(repeating: 1, shape: [1, x.count, 1, 1]), dtSoftplus: false)
}
func run(_ form: SSDForm, _ inputs: SSDInputs<Double>) throws -> [Double] {
    try form.evaluate(inputs).y.elements
}
var source = RandomSource(seed: 5)
let noise = (0..<length).map { _ in source.normal() }
let head = try constantHead(halfLife: 30, x: noise)
let recurrent = try run(.recurrent, head)
func distance(_ y: [Double]) -> Double { zip(y, recurrent).map { abs($0 - $1) }.max() ?? .infinity }
let scale = recurrent.map(\.magnitude).max() ?? 1
var forms = [
    ("quadratic", try run(.quadratic, head)), ("convolution, term by term", try run(.convolution, head)),
]
let how = "swift run --traits Analysis 05-convolution"
#if Analysis  // FFTW transforms
func runByFFT(_ inputs: SSDInputs<Double>) throws -> [Double] {
    try SSDForm.convolutionByFFT(inputs).y.elements
}
forms.append(("convolution, by FFT", try runByFFT(head)))
#else
missing("the convolution by FFT, as it needs FFTW", get: how)
#endif
table(["form", "largest difference from the recurrence"], forms.map { [$0, text(distance($1) / scale)] })
claim("all forms agree to 13 digits", forms.allSatisfy { distance($0.1) / scale < 1e-13 })

// %% [markdown]
// ## Impulse and frequency response
//
// Ask three heads what they make of a single one, and of waves of every frequency. The kernel is a
// geometric sequence with ratio $a = e^{\Delta A}$, so the frequency response is known in closed
// form:
//
// $$ |\hat k(f)| = \frac{1}{|1 - a\,e^{-2\pi i f}|}, \qquad f \text{ in cycles a token.} $$

// %%
let impulse = (0..<length).map { $0 == 0 ? 1.0 : 0 }
let halfLives = [2.0, 8, 32]
let kernels = try halfLives.map { try run(.recurrent, constantHead(halfLife: $0, x: impulse)) }
let names = halfLives.map { "half-life \(Int($0))" }
let impulses = Panel.chart(
    "impulse response", x: Axis("distance j (tokens)", range: 0...64), y: Axis("k"),
    zip(names, kernels).map { .line($0, $1.prefix(65).enumerated().map { (Double($0), $1) }) })
#if !Analysis
figure("responses", "Three heads: what is left of an impulse.", impulses)
missing("the frequency responses, as they need FFTW", get: how)
#else
func spectrum(_ signal: [Double]) throws -> Spectrum<Double> {
    try RealFFT<Double>(length: signal.count).forward(signal)
}
let spectra = try kernels.map(spectrum)
figure(
    "responses", "Three heads: what is left of an impulse, and how strongly waves come through.", impulses,
    .chart(
        "frequency response", x: Axis("frequency (cycles a token)", .log10, range: 1e-3...0.5),
        y: Axis("strength", .log10),
        zip(names, spectra).map { name, s in
            .line(name, zip(s.frequencies, s.magnitudes).dropFirst().map { ($0, $1 / s.magnitudes[0]) })
        }))

let formula =
    zip(halfLives, spectra).map { halfLife, s in
        let a = Double.exp(-Double.log(2) / halfLife)
        return zip(s.frequencies, s.magnitudes).map { f, found in
            let (re, im) = (1 - a * Double.cos(2 * .pi * f), a * Double.sin(2 * .pi * f))
            return abs(found * (re * re + im * im).squareRoot() - 1)
        }.max() ?? 1
    }.max() ?? 1
value("formula", formula, .scientific(1))
claim("the formula holds at every frequency", formula < 1e-8)
let halfPower = zip(halfLives, spectra).map { _, s in
    zip(s.frequencies, s.magnitudes).first { $0.1 < s.magnitudes[0] / 2.0.squareRoot() }?.0 ?? 0
}
value("cutoff", 1 / halfPower[2], .significant(2))
claim("longer memory, lower cut-off", halfPower[0] > halfPower[1] && halfPower[1] > halfPower[2])
#endif

// %% [markdown]
// Every time-invariant head is an exponential moving average: a *low-pass filter*. The head with a
// half-life of 32 tokens halves the power of everything that repeats more often than once in
// {{cutoff}} tokens. The formula holds to {{formula}}, which is what the cut-off tail of the
// longest kernel amounts to.
//
// Such a head treats every token alike. It cannot ignore a parenthesis.
//
// ## The error of the FFT
//
// The FFT sums everything with everything. Its rounding errors are as large as the *largest* number
// in sight, and they are everywhere. Feed an impulse to a head with a half-life of 8. The output
// falls to nothing; the error does not.

// %%
#if !Analysis
missing("the error of the FFT, as it needs FFTW", get: how)
#else
let fading = try constantHead(halfLife: 8, x: impulse)
let exact = try run(.recurrent, fading)
let byFFT = try runByFFT(fading)
let errors = zip(byFFT, exact).map { max(abs($0 - $1), 1e-18) }
figure(
    "fft-error", "The output of a fading head, and the error of computing it by FFT.",
    .chart(
        x: Axis("token", range: 0...600), y: Axis("size", .log10, range: 1e-20...1),
        .line("output", exact.enumerated().map { (Double($0), max($1, 1e-20)) }),
        .points("error by FFT", errors.enumerated().map { (Double($0), $1) })))
let lost = (0..<length).first { errors[$0] > exact[$0] } ?? length
value("lost", lost)
value(
    "wholeError", (errors.reduce(0) { $0 + $1 * $1 } / exact.reduce(0) { $0 + $1 * $1 }).squareRoot(),
    .scientific(1))
claim("somewhere the error exceeds the output", lost < length)
#endif

// %% [markdown]
// From token {{lost}} on, the FFT's answer has no digit in common with the truth, although relative
// to the whole the error is only {{wholeError}}. This is why forms are compared in norm here, head
// by head, and why the recurrence, which costs $O(L)$ for a geometric kernel anyway, remains the
// better program. The FFT is here for the insight.
//
// ## How selective is a trained head?
//
// Real heads change $\Delta$, $B$ and $C$ at every token. The library refuses to call that a
// convolution:

// %%
let embedded = EmbeddedModel<Double>.open()
let text1 =
    "Once upon a time there was a little fox named Pip. Everyone knew that Pip was not afraid of anything. "
    + "She had a secret: she was afraid of deep water. One morning the weather was snowy, and Pip set out."
let tokens = embedded.tokenizer.encode(text1)
let scans = try embedded.model.scanInputs(reading: tokens)
func refusal() -> String? {
    do {
        _ = try run(.convolution, scans[0].inputs)
        return nil
    } catch { return "\(error)" }
}
print(refusal() ?? "accepted")
claim("a selective head is refused", refusal() != nil)

// %% [markdown]
// How far from one? Replace each diagonal of a head's matrix by its mean: the nearest convolution,
// in least squares. The share of the squared entries that it leaves unexplained measures
// selectivity: 0 for a filter.

// %%
func unexplained(_ matrix: Tensor<Double>) -> Double {
    let n = matrix.shape[0]
    let whole = matrix.elements.reduce(0) { $0 + $1 * $1 }
    let rest = (0..<n).reduce(0.0) { sum, j in
        let diagonal = (j..<n).map { matrix[$0, $0 - j] }
        let mean = diagonal.reduce(0, +) / Double(diagonal.count)
        return sum + diagonal.reduce(0) { $0 + ($1 - mean) * ($1 - mean) }
    }
    return rest / whole
}
func selectivity(_ inputs: SSDInputs<Double>) throws -> [Double] {
    try (0..<inputs.heads).map { unexplained(try inputs.operatorMatrix(head: $0)) }
}
let shares = try scans.map { try selectivity($0.inputs).map { 100 * $0 } }
figure(
    "selectivity", "Share of each head's matrix that no convolution explains, in per cent.",
    .map(
        x: "head (from 1)", y: "Mamba-2 layer (from 1)", colour: Axis("unexplained (%)", range: 0...100),
        shares, numbers: .fixed(0)))
let sorted = shares.flatMap { $0 }.sorted()
value("least", sorted[0] / 100, .percent(0))
value("middle", sorted[sorted.count / 2] / 100, .percent(0))
value("most", sorted[sorted.count - 1] / 100, .percent(0))
let constant = try selectivity(constantHead(halfLife: 5, x: noise))
claim("a constant head leaves nothing", constant[0] < 1e-20)
claim("the median head is more than a third selection", sorted[sorted.count / 2] > 33)

// %% [markdown]
// From {{least}} to {{most}}, and {{middle}} for the median head. So selection is no small
// correction to a convolution.
//
// ## Exercises
//
// **1.** Suppose that only $\Delta$ is constant while $B$ and $C$ vary. Is the mask a convolution?
// Is $M$?

// %% [markdown] fold="Answer 1"
// The mask is: it has equal diagonals. $M$ is not, because $C_t \cdot B_s$ differs along a
// diagonal.

// %% fold="Answer 1"
let varying = try SSDInputs(
    x: Tensor(shape: [1, 64, 1, 1], elements: Array(noise.prefix(64))),
    dt: Tensor(repeating: 1, shape: [1, 64, 1]), a: Tensor([-0.1]),
    b: Tensor(shape: [1, 64, 1, 4], elements: Array(noise.prefix(256))),
    c: Tensor(shape: [1, 64, 1, 4], elements: Array(noise.suffix(256))), dtSoftplus: false)
let (maskShare, wholeShare) = (unexplained(try varying.decayMask(head: 0)), try selectivity(varying)[0])
print("unexplained: mask \(text(maskShare, .scientific(1))), matrix \(text(wholeShare, .percent(0)))")
claim("the mask alone is a convolution", maskShare < 1e-20 && wholeShare > 0.5)

// %% [markdown]
// **2.** Why are both signals padded with zeros to at least $2L - 1$ before the FFT?

// %% [markdown] fold="Answer 2"
// Without padding the product of transforms is a *circular* convolution: the end of the text wraps
// around and speaks to its beginning.

// %% fold="Answer 2"
#if !Analysis
missing("a circular convolution, as it needs FFTW", get: how)
#else
let slow = try run(.recurrent, constantHead(halfLife: 300, x: impulse))
let wrapped = try RealFFT<Double>(length: length).inverse(try spectrum(slow) * (try spectrum(noise)))
print("first output: \(text(wrapped[0])) instead of \(text(noise[0]))")
claim("the end leaks into the beginning", abs(wrapped[0] - noise[0]) > 1)
#endif

// %% [markdown]
// **3.** From which length on is the FFT cheaper than the recurrence, per channel of one
// time-invariant head?

// %% [markdown] fold="Answer 3"
// Never. A geometric kernel needs two operations a token, $y_t = a\,y_{t-1} + k_0 x_t$, whatever
// the length. An FFT of $n$ numbers takes about $5 n \log_2 n$ and grows with the length.

// %% fold="Answer 3"
for size in [1024.0, 1_048_576] {
    let fft = 2 * 5 * 2 * Double.log(2 * size) / Double.log(2)
    print("L = \(text(size)): \(text(fft, .fixed(0))) operations a token by FFT, 3 by recurrence")
    claim("the recurrence is cheaper", fft > 3)
}
