// %% [markdown]
// # A recurrence is a matrix
//
// Six tokens by hand. A loop that reads them one after another, and a triangular matrix that sees
// them all at once, give the same six numbers.
//
// At the end you will know
//
// - how to write any such recurrence as a matrix, and what each entry means;
// - what *1-semiseparable* says, and how to see it in a picture;
// - that the recurrent, the quadratic and the chunked form of SSD are three orders of doing one
//   sum, and how closely they agree.

// %% [markdown]
// ## The loop
//
// A state space model keeps a *state* $S$. At each token it lets the state fade by a factor $a_t$,
// adds what the token brings, and reads the state out:
//
// $$S_t = a_t\,S_{t-1} + b_t\,\bar x_t, \qquad y_t = c_t\,S_t .$$
//
// Here everything is a single number. $\bar x_t$ is the input, $b_t$ says how it is written down,
// $c_t$ what is being asked for. In Mamba-2 all of $a_t, b_t, c_t$ are computed from the token
// itself. That is what *selective* means: the token decides how much is forgotten, what is stored
// and what is looked up. We choose numbers that one can follow in the head.

// %%
import DualityCore
import DualityNotebook
import DualityReference
import DualityVerify

let a = [1, 0.5, 0.5, 1, 0.25, 0.5]
let b = [1.0, 1, 2, 1, 1, 0.5]
let c = [1.0, 1, 1, 2, 4, 1]
let x = [1.0, 2, -1, 1, 3, 2]

var state = 0.0
var looped: [Double] = []
var rows: [[String]] = []
for t in 0..<6 {
    state = a[t] * state + b[t] * x[t]
    looped.append(c[t] * state)
    let numbers = [a[t], b[t] * x[t], state, looped[t]]
    rows.append(["\(t + 1)"] + numbers.map { text($0, .short(6)) })
}
table(["token t", "fades by a", "brings b x̄", "state S", "output y = c S"], rows)

// %% [markdown]
// ## The same six numbers, without a loop
//
// Follow one input through time. What token $s$ brings is $b_s \bar x_s$. It fades at every later
// token, by $a_{s+1}$, by $a_{s+2}$, and so on up to $a_t$. At token $t$ it is read with $c_t$. So
// it adds to the output
//
// $$M_{ts}\,\bar x_s, \qquad M_{ts} = c_t\,\bigl(a_t\,a_{t-1}\cdots a_{s+1}\bigr)\,b_s \quad (s \le t).$$
//
// Later tokens add nothing to earlier outputs: $M_{ts} = 0$ for $s > t$. Every output is a sum over
// the past, and all outputs together are one product, $y = M\bar x$. That is the whole idea. The
// rest is bookkeeping.

// %%
/// What is left at token t of a number written down at token s.
func mask(_ t: Int, _ s: Int) -> Double {
    s > t ? 0 : a[(s + 1)..<(t + 1)].reduce(1, *)
}
let matrix = (0..<6).map { t in (0..<6).map { s in c[t] * mask(t, s) * b[s] } }
let multiplied = matrix.map { row in zip(row, x).reduce(0) { $0 + $1.0 * $1.1 } }

table(
    ["token t", "y by the loop", "y by the matrix"],
    (0..<6).map { ["\($0 + 1)"] + [looped[$0], multiplied[$0]].map { text($0, .short(6)) } })
claim("loop and matrix agree exactly", looped == multiplied)

// %% [markdown]
// They agree exactly because halves and quarters cost no rounding. With other numbers they agree up
// to rounding, as we will see.
//
// ## The mask has a shape of its own
//
// Take $b$ and $c$ away and look at the fading alone, $L_{ts} = a_t \cdots a_{s+1}$. The diagonal
// is 1: nothing has faded yet. Going down a column, a number fades token by token. Going left along
// a row, one looks further into the past.

// %%
let decays = (0..<6).map { t in (0..<6).map { s in s > t ? .nan : mask(t, s) } }
let share = Axis("share that is left", range: 0...1)
figure(
    "mask",
    "The mask L: what is left at token t of what token s wrote. Blank fields are the future.",
    .map(
        x: "written at token s", y: "read at token t", colour: share, decays,
        numbers: .short(4)))

// %% [markdown]
// Two neighbouring rows of this picture are copies of each other, except for a factor: row $t$ is
// row $t-1$ times $a_t$. So every block that lies below the diagonal is a column times a row. It
// has *rank one*, and any four of its numbers in a rectangle have the determinant zero. A matrix
// with this property is called **1-semiseparable**. The rank is why the loop could get by with a
// single number: everything the past has to say to the future passes through one number per token.

// %%
var rectangles = 0
var largest = 0.0
for t in 0..<6 {
    for below in t + 1..<6 {
        for s in 0...t {
            for right in s + 1..<max(t + 1, s + 1) {
                rectangles += 1
                let (falling, rising) = (
                    mask(t, s) * mask(below, right), mask(t, right) * mask(below, s)
                )
                largest = max(largest, (falling - rising).magnitude)
            }
        }
    }
}
value("rectangles", rectangles)
claim("every rectangle on or below the diagonal has determinant 0", largest == 0)

// %% [markdown]
// All {{rectangles}} rectangles that stay on or below the diagonal were tried.
//
// ## The library, asked for its matrix
//
// The operator of Mamba-2 is this loop, once for each of $H$ heads. The state is a matrix of
// $P \times N$ numbers, $b_t$ and $c_t$ are vectors of $N$, and $\bar x_t = \Delta_t x_t$ has $P$
// channels. The fading is $a_t = e^{\Delta_t A}$. The channels never mix, so they all share one
// matrix $M$. That gives a neat way to see it: feed the *identity*, one token per channel, and the
// output is $M$ itself.

// %%
/// The matrix of one head, found by asking for the response to an impulse at every token.
func response(of form: SSDForm) throws -> Tensor<Double> {
    let identity = (0..<36).map { $0 / 6 == $0 % 6 ? 1.0 : 0 }
    let inputs = try SSDInputs(
        x: Tensor(shape: [1, 6, 1, 6], elements: identity),
        dt: Tensor(repeating: 1, shape: [1, 6, 1]),
        a: Tensor([-0.7]),
        b: Tensor(shape: [1, 6, 1, 1], elements: b),
        c: Tensor(shape: [1, 6, 1, 1], elements: c),
        dtSoftplus: false)
    return try form.evaluate(inputs).y.reshaped([6, 6])
}
let (loop, attention) = (try response(of: .recurrent), try response(of: .quadratic))
let difference = zip(loop.elements, attention.elements).map { ($0 - $1).magnitude }.max() ?? 0
value("difference", difference)
claim("the recurrent and the quadratic form have the same matrix", difference < 1e-14)
let future = (0..<6).flatMap { t in (t + 1..<6).map { loop[t, $0] } }
claim("it is lower triangular", future.allSatisfy { $0 == 0 })

// %% [markdown]
// One call went through a loop and never formed a matrix. The other computed attention with queries
// $C$, keys $B$ and values $\bar x$, under the mask $L$, and never kept a state. Their matrices
// differ by at most {{difference}}.
//
// ## Three forms, one function
//
// | form | order of the sum | cost for $L$ tokens |
// |:--|:-----|:---|
// | recurrent | token by token, through the state | grows with $L$ |
// | quadratic | all pairs of tokens, as attention does | grows with $L^2$ |
// | chunked | attention inside chunks of $Q$ tokens, the state between them | grows with $L$, in matrix products |
//
// Now a case of real size, with random operands and everything that a model has: several heads,
// shared $B$ and $C$, a skip, a gate, an initial state. The recurrent form in float64 is the
// yardstick. The error is the largest of any head, relative to that head.

// %%
var example = SSDCase(seed: 6)
(example.length, example.headDim, example.stateDim, example.stateScale) = (300, 32, 32, 1)
(example.heads, example.xHeads, example.bHeads, example.cHeads) = (4, 4, 2, 2)
(example.skip, example.gate) = (.head, true)

let agreement = try SSDAgreement.measure(
    on: [("random", example.inputs())],
    forms: [.recurrent, .chunked(size: 7), .chunked(size: 64), .quadratic])
table(
    ["form", "precision", "error of y", "error of the last state"],
    agreement.map { row in
        let form = row.form.name + (row.form.chunkSize.map { ", Q = \($0)" } ?? "")
        return [form, row.precision, text(row.y.error), text(row.finalState.error)]
    })
func worst(_ precision: String) -> Double {
    agreement.filter { $0.precision == precision }.map(\.worst.error).max() ?? .nan
}
value("worst64", worst("f64"), .scientific(1))
value("worst32", worst("f32"), .scientific(1))
claim("in float64 the forms agree to 14 digits", worst("f64") < 1e-14)
claim("in float32 they agree to 6 digits", worst("f32") < 1e-6)

// %% [markdown]
// In float64 they differ by {{worst64}}, in float32 by {{worst32}}. That is rounding and nothing
// else: the number of digits the format has, less a little. No form is the approximation of
// another.
//
// So when a paper says that a transformer and a state space model are dual, it means this table.
// Attention with a mask that is 1-semiseparable *is* a recurrence, and one may compute it in
// whichever order suits the machine.
//
// ## Exercises
//
// **1.** What does the first token still contribute to $y_6$? Say it as a product before you
// compute it.

// %% [markdown] fold="Answer 1"
// $M_{61}\bar x_1 = c_6\,(a_6 a_5 a_4 a_3 a_2)\,b_1 \bar x_1$. Five factors for five steps; $a_1$
// is not among them, because it acts on the state *before* token 1.

// %% fold="Answer 1"
let contribution = matrix[5][0] * x[0]
print("M61 x1 = \(contribution)")
claim("it is 1/2 · 1/4 · 1 · 1/2 · 1/2", contribution == 0.5 * 0.25 * 1 * 0.5 * 0.5)

// %% [markdown]
// **2.** Let nothing fade: $A = 0$. Which well-known kind of attention is left?

// %% [markdown] fold="Answer 2"
// All decays are 1 and the mask is the plain causal triangle of ones. What is left is *causal
// linear attention*, $y_t = \sum_{s \le t} (C_t \cdot B_s)\,\bar x_s$.

// %% fold="Answer 2"
let still = try SSDInputs(
    x: Tensor(shape: [1, 6, 1, 1], elements: x), dt: Tensor(repeating: 1, shape: [1, 6, 1]),
    a: Tensor([0]), b: Tensor(shape: [1, 6, 1, 1], elements: b),
    c: Tensor(shape: [1, 6, 1, 1], elements: c), dtSoftplus: false)
let unfaded = try SSDForm.recurrent.evaluate(still).y.elements
let linear = (0..<6).map { t in c[t] * (0...t).reduce(0) { $0 + b[$1] * x[$1] } }
print("linear attention: \(linear)")
claim("SSD with A = 0 is causal linear attention", unfaded == linear)

// %% [markdown]
// **3.** Set $a_4 = 0$: token 4 forgets everything before it. How many entries of the mask are not
// zero, and what has the matrix become?

// %% [markdown] fold="Answer 3"
// Everything that passes the step from token 3 to token 4 is lost. Two triangles of $3 \cdot 4 / 2$
// entries remain: two sequences that do not know of each other. This is how several texts are
// packed into one row without leaking.

// %% fold="Answer 3"
let cut = [1, 0.5, 0.5, 0, 0.25, 0.5]
let left = (0..<6).reduce(0) { sum, t in
    sum + (0...t).count { s in cut[(s + 1)..<(t + 1)].reduce(1, *) != 0 }
}
print("entries that are not zero: \(left)")
claim("two triangles are left", left == 2 * (3 * 4 / 2))
