// %% [markdown]
// # Semiseparable means low rank
//
// Cut a text in two. Everything the first half can tell the second must pass through the state, and
// the state has $N$ numbers per channel. So a block of the attention matrix has rank $N$, and
// singular values show it as a cliff.
//
// At the end you will know
//
// - why the blocks below the diagonal of an SSD matrix have rank at most $N$, from a picture of two
//   factors;
// - how to see the rank in singular values, and that it is there at every cut;
// - what breaks it: softmax, a window, a square; and how little of the rank a trained head uses.

// %% [markdown]
// ## What passes a cut
//
// Cut after token $m$. For $s \le m < t$ the entry
// $M_{ts} = e^{\mathrm{seg}(t,s)}\,(C_t\cdot B_s)\,\Delta_s$ splits at the cut, because a decay
// over a way is the product of the decays over its parts:
//
// $$ M_{ts} = \bigl(e^{\mathrm{seg}(t,m)}\,C_t\bigr) \cdot \bigl(e^{\mathrm{seg}(m,s)}\,\Delta_s B_s\bigr). $$
//
// The left factor depends on the future token alone, the right one on the past token alone, and
// both are vectors of $N$ numbers. So the block is a product of an $(L-m)\times N$ and an
// $N\times m$ matrix. Its rank is at most $N$. A matrix with this property at every cut is
// **$N$-semiseparable**. The middle of that product is the state.

// %%
import DualityAnalysis
import DualityCore
import DualityNotebook
import DualityReference
import DualityVerify

let length = 128
func random(n: Int, seed: UInt64 = 2) throws -> SSDInputs<Double> {
    var shape = SSDCase(seed: seed)
    (shape.length, shape.headDim, shape.stateDim, shape.decay) = (length, 1, n, 0.01)
    (shape.heads, shape.xHeads, shape.bHeads, shape.cHeads) = (1, 1, 1, 1)
    return try shape.inputs()
}
/// The part of a matrix that says what tokens before the cut give to tokens after it.
func block(_ matrix: Tensor<Double>, cut: Int) -> Tensor<Double> {
    matrix.rows(cut..<matrix.shape[0]).columns(0..<cut)
}
let (inputs, cut) = (try random(n: 8), 64)
let (mask, steps) = (try inputs.decayMask(head: 0), inputs.effectiveSteps())
let quarter = block(try inputs.operatorMatrix(head: 0), cut: cut)
var product = Tensor(repeating: 0.0, shape: quarter.shape)
for t in cut..<length {
    for s in 0..<cut {
        for i in 0..<8 {
            let read = mask[t, cut - 1] * inputs.c.elements[t * 8 + i]
            let written = mask[cut - 1, s] * steps.elements[s] * inputs.b.elements[s * 8 + i]
            product[t - cut, s] += read * written
        }
    }
}
let largest = quarter.elements.map(\.magnitude).max() ?? 0
let gap = zip(product.elements, quarter.elements).map { abs($0 - $1) }.max() ?? 1
value("blockNumbers", quarter.count)
value("factorNumbers", 8 * quarter.shape[0] + 8 * quarter.shape[1])
value("factorGap", gap / largest, .scientific(1))
claim("the block is the product of its two factors", gap / largest < 1e-14)

// %% [markdown]
// The {{blockNumbers}} numbers of this block are the product of two factors with {{factorNumbers}}
// numbers together, up to {{factorGap}} of the largest: rounding. Singular values say the same
// without being told the factors.

// %%
#if !Analysis
missing("singular values and ranks, which need LAPACK", get: "swift run --traits Analysis 02-low-rank")
#else
/// Singular values relative to the first, by number.
func spectrum(_ block: Tensor<Double>) throws -> [(Double, Double)] {
    let values = try singularValues(of: block)
    return values.enumerated().map { (Double($0 + 1), max($1 / values[0], 1e-18)) }
}

let number = Axis("number of the singular value", range: 0...64)
let size = Axis("size relative to the first", .log10, range: 1e-18...2)
let widths = [4, 8, 16]
let matrices = try widths.map { try random(n: $0).operatorMatrix(head: 0) }
figure(
    "cliffs", "Singular values of the lower left quarter of M: 64 × 64 numbers, and N of them matter.",
    .chart(
        x: number, y: size,
        try zip(widths, matrices).map { .lineAndPoints("N = \($0)", try spectrum(block($1, cut: 64))) }))
for (n, matrix) in zip(widths, matrices) {
    claim("N = \(n): the block has rank \(n)", try numericalRank(of: block(matrix, cut: 64)) == n)
}
let drop = try singularValues(of: block(matrices[1], cut: 64))
value("lastIn", drop[7] / drop[0], .significant(2))
value("firstOut", drop[8] / drop[0], .scientific(1))

// %% [markdown]
// With $N = 8$ the eighth value is {{lastIn}} of the first and the ninth is {{firstOut}}: rounding.
// The whole quarter of the matrix could be stored in two thin factors.
//
// ## At every cut
//
// One quarter might be luck. Try all cuts. Near the ends the block is too thin to have rank $N$; in
// between it has exactly that.

// %%
let cuts = Array(stride(from: 1, to: length, by: 3))
let ranks = try cuts.map { try numericalRank(of: block(matrices[1], cut: $0)) }
let fullRank = cuts.map { (Double($0), Double(min($0, length - $0))) }
figure(
    "cuts", "Rank of the block at every cut, N = 8, and the rank a block of its size could have.",
    .chart(
        x: Axis("cut after token m"), y: Axis("rank", range: 0...20),
        .lineAndPoints("SSD, N = 8", zip(cuts, ranks).map { (Double($0), Double($1)) }),
        .dashed("as large as possible", fullRank)))
let expected = cuts.map { min(8, $0, length - $0) }
claim("at every cut the rank is N, or less where the block is thinner", ranks == expected)

// %% [markdown]
// ## What breaks it
//
// Keep the very same scores $C_t \cdot B_s$ with $N = 8$, and do something else with them.

// %%
func score(_ t: Int, _ s: Int) -> Double {
    (0..<8).reduce(0) { $0 + inputs.c.elements[t * 8 + $1] * inputs.b.elements[s * 8 + $1] }
}
func matrix(_ entry: (Int, Int) -> Double) -> Tensor<Double> {
    var all = Tensor(repeating: 0.0, shape: [length, length])
    for t in 0..<length { for s in 0...t { all[t, s] = entry(t, s) } }
    return all
}
let softmax = matrix { t, s in
    Double.exp(score(t, s)) / (0...t).reduce(0) { $0 + Double.exp(score(t, $1)) }
}
let kinds: [(String, Tensor<Double>)] = [
    ("SSD", matrices[1]), ("scores squared", matrix { score($0, $1) * score($0, $1) }),
    ("softmax", softmax), ("window of 16", matrix { $0 - $1 < 16 ? score($0, $1) : 0 }),
]
let found = try kinds.map { try numericalRank(of: block($0.1, cut: 64)) }
table(["what is done with the scores", "rank of the block"], zip(kinds, found).map { [$0.0, "\($1)"] })
figure(
    "broken", "The same scores, four uses. Only the first falls off at N = 8.",
    .chart(x: number, y: size, try kinds.map { .lineAndPoints($0.0, try spectrum(block($0.1, cut: 64))) }))
value("squared", found[1])
value("softmaxRank", found[2])
value("window", found[3])
claim("squares have rank N(N+1)/2", found[1] == 8 * 9 / 2)
claim("softmax uses all the rank there is", found[2] == 64)

// %% [markdown]
// A square of a product of eight numbers is a product of the {{squared}} pairs one can form: still
// a recurrence, with a larger state. A window of 16 has rank {{window}}, the number of tokens that
// are inside it on both sides of a cut: one can carry it, in a buffer of tokens and not in a decay.
// The exponential of softmax contains all powers. It needs all of the {{softmaxRank}} dimensions
// there are, and more in a longer text: no state of fixed size will do.
//
// ## A trained head
//
// The embedded model has $N = 64$. How much of that is used? We count the singular values above one
// hundredth of the first, for each head, at a cut in the middle of a page.

// %%
let embedded = EmbeddedModel<Double>.open()
let sentence =
    "Once upon a time there was a little fox named Pip, who lived in a hole under the old oak tree. "
let tokens = embedded.tokenizer.encode(String(repeating: sentence, count: 8)).prefix(168)
let scans = try embedded.model.scanInputs(reading: Array(tokens))
let used = try scans.map { scan in
    try (0..<scan.inputs.heads).map { head in
        Double(
            try numericalRank(of: block(try scan.inputs.operatorMatrix(head: head), cut: 84), tolerance: 1e-2)
        )
    }
}
figure(
    "heads", "Singular values above a hundredth of the first, of the 64 that the state could carry.",
    .map(
        x: "head (from 1)", y: "Mamba-2 layer (from 1)", colour: Axis("number", range: 0...64), used,
        numbers: .fixed(0)))
let flat = used.flatMap { $0 }.sorted()
value("medianUsed", flat[flat.count / 2], .fixed(0))
value("mostUsed", flat[flat.count - 1], .fixed(0))
claim("no head uses more than its state has", flat[flat.count - 1] <= 64)

// %% [markdown]
// The median head uses {{medianUsed}} of its 64 dimensions at that precision, and none more than
// {{mostUsed}}. Short memories have little to hand over: only the last few tokens before the cut
// are still there.
//
// ## Exercises
//
// **1.** What is the rank of a block of the mask alone?

// %% [markdown] fold="Answer 1"
// One. Set $C_t \cdot B_s = 1$ in the factors above and their $N$ numbers become a single one.

// %% fold="Answer 1"
let alone = try numericalRank(of: block(try inputs.decayMask(head: 0), cut: 64))
print("rank \(alone)")
claim("1-semiseparable is meant literally", alone == 1)

// %% [markdown]
// **2.** Add the matrices of two heads of $N = 8$. Which rank has the sum, and which recurrence
// computes it?

// %% [markdown] fold="Answer 2"
// Up to 16: one recurrence with the two states side by side. Heads cannot be merged into a state of
// the same size.

// %% fold="Answer 2"
let second = try random(n: 8, seed: 3).operatorMatrix(head: 0)
let both = try Tensor(shape: second.shape, elements: zip(matrices[1].elements, second.elements).map(+))
let sum = try numericalRank(of: block(both, cut: 64))
print("rank \(sum)")
claim("ranks add", sum == 16)

// %% [markdown]
// **3.** In float32 the cliff ends earlier. Where?

// %% [markdown] fold="Answer 3"
// At the rounding of the entries, about $2^{-24}$ of the largest, times a little for their number.

// %% fold="Answer 3"
let single = try singularValues(of: block(matrices[1].converted(to: Float.self).converted(), cut: 64))
print("the ninth value is \(text(single[8] / single[0])) of the first; 2^-24 is \(text(0x1p-24))")
claim("within a factor of sixteen", single[8] / single[0] > 0x1p-28 && single[8] / single[0] < 0x1p-20)
#endif
