// %% [markdown]
// # Attention and SSM, one family
//
// Linear attention, retention and Mamba-2 are one matrix with three masks. Softmax attention is not
// of that family, and what it can do that the others cannot shows in a small memory test.
//
// At the end you will know
//
// - how to get linear attention, retention and the selective mask out of one operator, by choosing
//   $\Delta$ and $A$;
// - the two things softmax adds, and which of them makes it a better memory;
// - why no fixed-size state can imitate it.

// %% [markdown]
// ## Four weight matrices
//
// All of them score a query $C_t$ (elsewhere $Q$) against a key $B_s$ (elsewhere $K$), and sum
// values $x_s$ with the result as weights: $y_t = \sum_{s\le t} W_{ts}\,x_s$. They differ in what
// they make of the score.
//
// | | weight $W_{ts}$ | as an SSD |
// |:---|:------|:----|
// | linear attention | $C_t\cdot B_s$ | $A = 0,\ \Delta = 1$ |
// | retention | $\gamma^{\,t-s}\; C_t\cdot B_s$ | $A = \ln\gamma,\ \Delta = 1$ |
// | Mamba-2 | $e^{\Delta_{s+1}A+\dots+\Delta_t A}\; \Delta_s\; C_t\cdot B_s$ | any $A$, and $\Delta_t$ from the token |
// | softmax attention | $e^{C_t\cdot B_s/\sqrt N} \big/ \sum_r e^{C_t\cdot B_r/\sqrt N}$ | none |
//
// The first three are one line of code each. The library returns the mask of a head and the whole
// matrix $M$.

// %%
import DualityAnalysis
import DualityCore
import DualityNotebook
import DualityReference

let (length, n) = (40, 16)
var random = RandomSource(seed: 4)
let keys = (0..<length * n).map { _ in random.normal() }
let queries = (0..<length * n).map { _ in random.normal() }
let values = (0..<length).map { _ in random.normal() }
// A text of words and gaps: at a gap the model takes no step, Δ = 0.
let selective = (0..<length).map { t in t % 13 < 3 || t % 5 == 0 ? 1.0 : 0 }

func operands(a: Double, steps: [Double]) throws -> SSDInputs<Double> {
    try SSDInputs(
        x: Tensor(shape: [1, length, 1, 1], elements: values),
        dt: Tensor(shape: [1, length, 1], elements: steps), a: Tensor([a]),
        b: Tensor(shape: [1, length, 1, n], elements: keys),
        c: Tensor(shape: [1, length, 1, n], elements: queries), dtSoftplus: false)
}
let always = [Double](repeating: 1, count: length)
let linear = try operands(a: 0, steps: always)
let retention = try operands(a: Double.log(0.9), steps: always)
let mamba = try operands(a: -0.4, steps: selective)

// %% [markdown]
// Check two of them against their definitions, entry by entry, before believing the table.

// %%
func score(_ t: Int, _ s: Int) -> Double { (0..<n).reduce(0) { $0 + queries[t * n + $1] * keys[s * n + $1] } }
func largestDifference(_ inputs: SSDInputs<Double>, _ weight: (Int, Int) -> Double) throws -> Double {
    let matrix = try inputs.operatorMatrix(head: 0)
    return (0..<length).flatMap { t in (0...t).map { abs(matrix[t, $0] - weight(t, $0)) } }.max() ?? 0
}
let linearError = try largestDifference(linear) { score($0, $1) }
let retentionError = try largestDifference(retention) { Double.pow(0.9, Double($0 - $1)) * score($0, $1) }
value("linearError", linearError, .scientific(1))
value("retentionError", retentionError, .scientific(1))
claim("A = 0 is linear attention", linearError < 1e-13)
claim("A = ln γ is retention", retentionError < 1e-13)

// %% [markdown]
// They differ by {{linearError}} and {{retentionError}}. Now the masks side by side, and for
// softmax the weights themselves, since it has no mask that could be taken apart from the scores.

// %%
func softmax(_ t: Int, sharpness: Double = 1) -> [Double] {
    let scores = (0...t).map { sharpness * score(t, $0) / Double(n).squareRoot() }
    let largest = scores.max() ?? 0
    let exponentials = scores.map { Double.exp($0 - largest) }
    let sum = exponentials.reduce(0, +)
    return exponentials.map { $0 / sum }
}
func lower(_ row: (Int) -> [Double]) -> [[Double]] {
    (0..<length).map { row($0) + [Double](repeating: .nan, count: length - 1 - $0) }
}
func maskPanel(_ title: String, _ inputs: SSDInputs<Double>) throws -> Panel {
    let mask = try inputs.decayMask(head: 0)
    return .map(
        title, x: "key s (token)", y: "query t (token)", colour: Axis("mask", range: 0...1),
        lower { t in (0...t).map { mask[t, $0] } })
}
figure(
    "masks", "What each lets through: all of the past, the recent past, the last words, the most similar.",
    try maskPanel("linear attention", linear), try maskPanel("retention, γ = 0.9", retention),
    try maskPanel("Mamba-2", mamba),
    .map(
        "softmax attention", x: "key s (token)", y: "query t (token)", colour: Axis("weight", range: 0...1),
        lower { softmax($0) }))

// %% [markdown]
// Read the third picture by its stripes. Where $\Delta_t = 0$ a row repeats the one above: nothing
// is forgotten at a gap. Time, for Mamba-2, passes in words and not in tokens. Retention cannot do
// that. Its mask knows the distance and nothing else.

// %%
let gaps = selective.filter { $0 == 0 }.count
let kept = try mamba.decayMask(head: 0)[length - 1, 0]
let words = Double.exp(-0.4 * Double(length - 1 - gaps))
value("gaps", gaps)
value("kept", kept, .scientific(2))
value("length", length)
claim("the first token has faded at words only", abs(kept / words - 1) < 1e-9)

// %% [markdown]
// Of the {{length}} tokens {{gaps}} are gaps, and they cost the first token nothing: {{kept}} of it
// is left, exactly what the words alone take.
//
// ## What softmax has
//
// Two things. Its weights are positive and sum to one, so it *averages*. And it raises scores into
// an exponent, so a score that is somewhat larger gets a weight that is very much larger: it can
// *choose*.
//
// Averaging is cheap to add. Run a second SSD with all values equal to one and divide (exercise 3).
// Choosing is not. Scale the query by ten: linear attention returns ten times the same mixture, and
// softmax makes up its mind.

// %%
let (before, after) = (softmax(length - 1), softmax(length - 1, sharpness: 10))
value("topWeight", before.max() ?? 0, .percent(0))
value("topWeightSharp", after.max() ?? 0, .percent(0))
claim("ten times the query, one winner", (after.max() ?? 0) > 0.9)

// %% [markdown]
// The largest softmax weight goes from {{topWeight}} to {{topWeightSharp}}.
//
// ## A memory test
//
// Write $m$ pairs of a key and a value into memory, then ask for each value by its key. Keys are
// random directions in $N = 16$ dimensions, values are random patterns of 32 signs. An answer
// counts when it is nearer to the right pattern than to every other. The state of linear attention
// is the sum of all $\bar x_s B_s^\top$, so what comes back is the right value plus a bit of every
// other.

// %%
typealias Recall = (state: Double, softmax: Double)
func recall(pairs m: Int, _ random: inout RandomSource, decay: Double = 0) throws -> Recall {
    let p = 32
    let keys = (0..<m).map { _ in
        let raw = (0..<n).map { _ in random.normal() }
        return raw.map { $0 / raw.reduce(0) { $0 + $1 * $1 }.squareRoot() }
    }
    let patterns = (0..<m).map { _ in (0..<p).map { _ in random.uniform() < 0.5 ? -1.0 : 1 } }
    // m tokens that write, then m that ask and write nothing: Δ = 0 leaves the state alone.
    let silence = [Double](repeating: 0, count: m * p)
    let both = (keys + keys).flatMap { $0 }
    let inputs = try SSDInputs(
        x: Tensor(shape: [1, 2 * m, 1, p], elements: patterns.flatMap { $0 } + silence),
        dt: Tensor(shape: [1, 2 * m, 1], elements: (0..<2 * m).map { $0 < m ? 1 : 0 }), a: Tensor([decay]),
        b: Tensor(shape: [1, 2 * m, 1, n], elements: both),
        c: Tensor(shape: [1, 2 * m, 1, n], elements: both), dtSoftplus: false)
    let outputs = try SSDForm.recurrent.evaluate(inputs)
    func isRight(_ answer: [Double], _ i: Int) -> Bool {
        let scores = patterns.map { zip($0, answer).reduce(0) { $0 + $1.0 * $1.1 } }
        return scores.indices.allSatisfy { $0 == i || scores[$0] < scores[i] }
    }
    let answers = (m..<2 * m).map { Array(outputs.y.elements[$0 * p..<($0 + 1) * p]) }
    let fromState = (0..<m).count { isRight(answers[$0], $0) }
    let fromSoftmax = (0..<m).count { i in
        let weights = keys.map { Double.exp(40 * zip($0, keys[i]).reduce(0) { $0 + $1.0 * $1.1 }) }
        return isRight((0..<p).map { c in zip(weights, patterns).reduce(0) { $0 + $1.0 * $1.1[c] } }, i)
    }
    return (Double(fromState) / Double(m), Double(fromSoftmax) / Double(m))
}

let counts = [4, 8, 16, 32, 64, 128]
let recalls = try counts.map {
    (try recall(pairs: $0, &random), try recall(pairs: $0, &random, decay: -0.03))
}
func percent(_ found: [Double]) -> [(Double, Double)] { zip(counts, found).map { (Double($0), 100 * $1) } }
let linearRecall = percent(recalls.map { $0.0.state })
let fadingRecall = percent(recalls.map { $0.1.state })
let softmaxRecall = percent(recalls.map { $0.0.softmax })
figure(
    "recall",
    "Values found again by their key. A state of sixteen dimensions mixes them up; softmax chooses.",
    .chart(
        x: Axis("pairs written (number)", .log2), y: Axis("values found (%)", range: 0...105),
        .lineAndPoints("linear attention", linearRecall), .lineAndPoints("with decay", fadingRecall),
        .lineAndPoints("softmax", softmaxRecall)))
value("recallAt128", (linearRecall.last?.1 ?? 0) / 100, .percent(0))
value("softmaxAt128", (softmaxRecall.last?.1 ?? 0) / 100, .percent(0))
claim("few pairs are no trouble for anyone", (linearRecall.first?.1 ?? 0) == 100)
claim("softmax finds at least 99 % of 128", (softmaxRecall.last?.1 ?? 0) >= 99)
claim("a state of 16 dimensions does not", (linearRecall.last?.1 ?? 100) < 70)

// %% [markdown]
// With 128 pairs softmax finds {{softmaxAt128}} of the values and linear attention {{recallAt128}}.
// Decay only makes room by dropping the oldest.
//
// The reason is dimension. $e^{C\cdot B}$ is a sum of all powers of $C\cdot B$, and to carry those
// in a state one would need all products of coordinates of $B$: infinitely many numbers. Softmax
// keeps every key instead, which is why its cache grows. A state of fixed size pays for its size
// with what it must confuse. **Hybrids keep a few softmax layers for choosing, and let states carry
// the rest.**
//
// ## Exercises
//
// **1.** Which $\Delta$ and $A$ give a sliding window, $W_{ts} = C_t \cdot B_s$ for $t - s < 8$ and
// zero otherwise?

// %% [markdown] fold="Answer 1"
// None. A decay can only fall by factors. The mask of one head is 1-semiseparable, so four entries
// in a rectangle have the determinant zero; a window has rectangles with one zero and three ones.

// %% fold="Answer 1"
func window(_ t: Int, _ s: Int) -> Double { t - s < 8 ? 1 : 0 }
let corners = [window(8, 1), window(8, 4), window(9, 1), window(9, 4)].map { Int($0) }
print("rows 8 and 9, columns 1 and 4: \(corners)")
claim("their determinant is not zero", corners[0] * corners[3] - corners[1] * corners[2] == 1)

// %% [markdown]
// **2.** Make Mamba-2 forget everything at token 20 and nothing anywhere else. What must
// $\Delta_{20}$ be?

// %% [markdown] fold="Answer 2"
// Very large, with $A < 0$. But then $\Delta_{20} x_{20}$ is very large too: one knob sets both. A
// model that wants to reset without shouting needs $x_{20}$ or $B_{20}$ near zero.

// %% fold="Answer 2"
let reset = try operands(a: -1, steps: (0..<length).map { $0 == 20 ? 100 : 0 })
let mask = try reset.decayMask(head: 0)
print("left of token 5 at token 30: \(text(mask[30, 5])), of token 21: \(text(mask[30, 21]))")
claim("before is gone, after is whole", mask[30, 5] < 1e-40 && mask[30, 21] == 1)

// %% [markdown]
// **3.** Softmax over equal scores is a running mean. Write it as two runs of SSD and one division.

// %% [markdown] fold="Answer 3"
// With $B = C = 1$ (one dimension) and $A = 0$ the state is a running sum. Divide the run over $x$
// by the run over ones.

// %% fold="Answer 3"
func runningSum(_ x: [Double]) throws -> [Double] {
    let ones = Tensor(repeating: 1.0, shape: [1, length, 1, 1])
    let inputs = try SSDInputs(
        x: Tensor(shape: [1, length, 1, 1], elements: x), dt: Tensor(repeating: 1, shape: [1, length, 1]),
        a: Tensor([0]), b: ones, c: ones, dtSoftplus: false)
    return try SSDForm.recurrent.evaluate(inputs).y.elements
}
let means = zip(try runningSum(values), try runningSum(always)).map { $0 / $1 }
let expected = (0..<length).map { t in values[...t].reduce(0, +) / Double(t + 1) }
claim("two runs and a division average", zip(means, expected).allSatisfy { abs($0 - $1) < 1e-14 })
