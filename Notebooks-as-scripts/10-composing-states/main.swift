// %% [markdown]
// # Composing states
//
// Two texts are read apart, on two machines or last week. Can their memories be joined without
// reading again? For one layer exactly. For a model not, and we measure what each way of joining
// loses.
//
// At the end you will know
//
// - the pair that describes what a text does to a state, and why pairs may be joined in any tree;
// - two ways to join without an order, soup and PICASO, and what they have to do with averages over
//   orders;
// - what composing loses in a trained model, layer by layer, and in finding a number again.

// %% [markdown]
// ## What a text does to a state
//
// Run a recurrence over a stretch of tokens, once from a state $S$. Nothing in it is more than
// linear in $S$, so the result is
//
// $$ S \;\mapsto\; \alpha\,S + U, $$
//
// where $\alpha = e^{\sum \Delta_t A}$ is all that is left of what came before, and $U$ is what the
// stretch leaves when it starts from nothing. Two stretches, one after the other, make another such
// pair:
//
// $$ (\alpha_2, U_2)\circ(\alpha_1, U_1) = (\alpha_2\alpha_1,\; \alpha_2 U_1 + U_2). $$
//
// The library returns both halves of the pair: `finalState`, and the logarithm of $\alpha$ in
// `logDecay`.

// %%
import DualityCore
import DualityNotebook
import DualityReference
import DualityVerify

var shape = SSDCase(seed: 10)
(shape.length, shape.headDim, shape.stateDim, shape.decay) = (96, 8, 8, 0.02)
(shape.heads, shape.xHeads, shape.bHeads, shape.cHeads) = (2, 2, 2, 2)
let text96 = try shape.inputs(as: Double.self)
/// Some of the tokens, from a zero start.
func part(_ tokens: Range<Int>) throws -> SSDInputs<Double> {
    func cut(_ tensor: Tensor<Double>) throws -> Tensor<Double> {
        let width = tensor.count / tensor.shape[1]
        let kept = tensor.elements[tokens.lowerBound * width..<tokens.upperBound * width]
        return try Tensor(shape: [1, tokens.count] + tensor.shape[2...], elements: Array(kept))
    }
    return try SSDInputs(
        x: cut(text96.x), dt: cut(text96.dt), a: text96.a, b: cut(text96.b), c: cut(text96.c))
}
func distance(_ a: Tensor<Double>, _ b: Tensor<Double>) -> Double {
    let square = zip(a.elements, b.elements).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }
    return (square / b.elements.reduce(0) { $0 + $1 * $1 }).squareRoot()
}
func run(_ inputs: SSDInputs<Double>) throws -> SSDOutputs<Double> { try SSDForm.recurrent.evaluate(inputs) }
let whole = try run(text96)
let thirds = try [0..<32, 32..<64, 64..<96].map { try run(part($0)) }

/// A sum of states, with one weight for each part and head.
func mixture(_ weights: [[Double]]) -> Tensor<Double> {
    var sum = whole.finalState.map { _ in 0.0 }
    for (k, third) in thirds.enumerated() {
        for (i, number) in third.finalState.elements.enumerated() {
            sum.elements[i] += weights[k][i / 64] * number
        }
    }
    return sum
}
let logs = thirds.map(\.logDecay.elements)  // ln α of each part, by head
/// The weight of each part and head when the parts follow one another in this order.
func inOrder(_ order: [Int]) -> [[Double]] {
    thirds.indices.map { k in
        let later = order.drop { $0 != k }.dropFirst()
        return (0..<2).map { head in Double.exp(later.reduce(0) { $0 + logs[$1][head] }) }
    }
}
let exact = distance(mixture(inOrder([0, 1, 2])), whole.finalState)
value("exact", exact, .scientific(1))
claim("three parts read apart compose to the whole", exact < 1e-14)

// %% [markdown]
// Three thirds, each read from nothing, compose to the state of the whole within {{exact}}. And
// since $\circ$ is associative, any tree of compositions will do. This is how one text is read by
// many processors at once.

// %%
let trees: [ScanTree] = [.left, .right, .balanced, .random(seed: 1)]
func treeError(_ tree: ScanTree) throws -> Double {
    distance(try SSDForm.associative(tree: tree, leaf: 5).evaluate(text96).y, whole.y)
}
let spread = try trees.map(treeError)
print("differences of y for four trees: \(spread.map { text($0, .scientific(1)) })")
claim("every tree gives the same outputs", spread.allSatisfy { $0 < 1e-13 })

// %% [markdown]
// ## Without an order
//
// Retrieved documents have no order. One may want a memory that does not depend on the order in
// which they were found.
//
// **Soup** takes the mean, $\tfrac1K \sum_k U_k$. **PICASO** takes the mean over all $K!$ orders of
// what exact composition gives: $\sum_k c_k U_k$ with a weight $c_k$ for every part. It need not
// try the orders. The number of parts after part $k$ is uniform, and so is their choice, which
// makes $c_k$ a symmetric polynomial.

// %%
let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]].map(inOrder)
let byOrders = thirds.indices.map { k in (0..<2).map { head in orders.reduce(0) { $0 + $1[k][head] } / 6 } }
let picaso = (0..<2).map { head in PicasoWeights.logWeights(logs.map { $0[head] }).map { Double.exp($0) } }
table(
    ["part", "exact", "PICASO", "mean over 6 orders", "soup"],
    thirds.indices.map { k in
        ["\(k + 1)"] + [orders[0][k][0], picaso[0][k], byOrders[k][0], 1 / 3].map { text($0, .fixed(4)) }
    })
let fused = thirds.indices.map { k in picaso.map { $0[k] } }
let agreement = zip(fused.joined(), byOrders.joined()).map { abs($0 - $1) }.max() ?? 1
value("agreement", agreement, .scientific(1))
claim("the weights are the mean over orders", agreement < 1e-14)
let soupLoss = distance(mixture(Array(repeating: [1.0 / 3, 1.0 / 3], count: 3)), whole.finalState)
let picasoLoss = distance(mixture(fused), whole.finalState)
value("soupLoss", soupLoss, .percent(0))
value("picasoLoss", picasoLoss, .percent(0))
claim("PICASO is nearer to the true state than soup here", picasoLoss < soupLoss)

// %% [markdown]
// The weights agree with all six orders to {{agreement}}. Against the state of the *true* order,
// PICASO is off by {{picasoLoss}} and soup by {{soupLoss}}. Soup also shrinks: where little is
// forgotten states should add; it divides.
//
// ## In a model
//
// In a model the inputs of a layer depend, through attention and states below, on everything
// before. A part that is read alone has other inputs there, and no rule of composing can repair
// that.

// %%
let embedded = EmbeddedModel<Float>.open()
let (model, tokenizer) = (embedded.model, embedded.tokenizer)
let stories = [
    ("river", "4071852", "Long ago, a little lamb named Fern lived near the old mill."),
    ("lantern", "9925310", "Once upon a time there was a brave hedgehog named Moss."),
    ("mountain", "2680437", "In a little village there lived a boy called Sam."),
]
struct Trial { let context: [Int], question: [Int], answer: [Int] }
let ending = " She was curious, and she asked a hundred questions a day. That night she went to bed glad."
let trials = stories.map { key, number, opening in
    let needle = "One of the special magic numbers for \(key) is: \(number)."
    let question = "\nWhat is the special magic number for \(key)? The special magic number for \(key) is"
    return Trial(
        context: tokenizer.encode(
            "\(opening) \(needle)\(ending) A soft wind came over the hills. \(opening)\(ending)"),
        question: tokenizer.encode(question), answer: tokenizer.encode(" \(number)"))
}
let types: [(String, ComposeType)] = [
    ("exact", .concatenatedExact), ("PICASO", .concatenatedFuse), ("soup", .concatenatedSoup),
    ("states dropped", .concatenatedKeyValuesOnly),
]
/// The loss in bits a digit of the answer, and whether every digit would have been chosen.
func judge(_ memory: HybridCache<Float>, _ trial: Trial) throws -> (bits: Double, found: Bool) {
    var (memory, bits, found) = (memory, 0.0, true)
    let logits = try model.extend(&memory, by: trial.question + trial.answer.dropLast(), logits: .all)
    for (i, digit) in trial.answer.enumerated() {
        let t = trial.question.count - 1 + i
        let row = logits.rows(t..<t + 1).elements.map(Double.init)
        let largest = row.max() ?? 0
        let sum = row.reduce(0) { $0 + Double.exp($1 - largest) }
        bits -= (row[digit] - largest - Double.log(sum)) / Double.log(2)
        found = found && row[digit] == largest
    }
    return (bits / Double(trial.answer.count), found)
}
func composed(_ rows: ReadRows<Float>, _ plan: ChunkPlan, _ type: ComposeType) throws -> HybridCache<Float> {
    try model.compose(rows, plan: plan, type: type)
}
let states = { (memory: HybridCache<Float>) in
    memory.layers.compactMap { $0.scan?.state.converted(to: Double.self) }
}
var stateErrors = types.map { _ in [Double](repeating: 0, count: states(model.makeCache()).count) }
var results = (types.map(\.0) + ["read in one piece"]).map { (name: $0, bits: 0.0, found: 0) }
for trial in trials {
    var full = model.makeCache()
    _ = try model.extend(&full, by: trial.context, logits: .none)
    let plan = try ChunkPlan(
        context: trial.context, chunks: 2, filler: tokenizer.encode("\n")[0], keyValues: .concatenated)
    let rows = try model.read(plan)
    let memories = try types.map { try composed(rows, plan, $0.1) } + [full]
    for (i, memory) in memories.enumerated() {
        let verdict = try judge(memory, trial)
        results[i].bits += verdict.bits / Double(trials.count)
        results[i].found += verdict.found ? 1 : 0
        for (layer, pair) in zip(states(memory), states(full)).enumerated() where i < types.count {
            stateErrors[i][layer] += 100 * distance(pair.0, pair.1) / Double(trials.count)
        }
    }
}
figure(
    "layers",
    "Distance of composed states from those of reading in one piece, mean over three contexts in two parts.",
    .chart(
        x: Axis("Mamba-2 layer (from 1)", range: 0.5...6.5), y: Axis("relative distance (%)"),
        zip(types, stateErrors).dropLast().map { type, errors in
            .lineAndPoints(type.0, errors.enumerated().map { (Double($0 + 1), $1) })
        }))
table(
    ["how the two parts are joined", "loss (bits a digit)", "numbers found"],
    results.map { [$0.name, text($0.bits, .significant(2)), "\($0.found) of \(trials.count)"] })
value("exactFirst", stateErrors[0][0] / 100, .percent(0))
value("exactLast", (stateErrors[0].last ?? 0) / 100, .percent(0))
value("soupFirst", stateErrors[2][0] / 100, .percent(0))
let first = stateErrors.map { $0[0] }
claim("exact composition is nearest in the first layer", first[0] < first[1] && first[0] < first[2])
claim("in one piece every number is found", results[types.count].found == trials.count)

// %% [markdown]
// In the first Mamba-2 layer the exact rule is {{exactFirst}} off, where soup is {{soupFirst}} off;
// in the last it is {{exactLast}}. The rule is as exact as before. Its inputs are not those of the
// whole text.
//
// And the numbers? They are kept by keys and values, which are put side by side and lose nothing
// but their neighbourhood. So even dropping all states costs little *here*, and the column of bits
// says how little. A task that lives in the states would tell another story.
//
// ## Exercises
//
// **1.** If nothing is ever forgotten, what are the weights of PICASO? And if everything is
// forgotten at once?

// %% [markdown] fold="Answer 1"
// With $\alpha = 1$ all orders give the plain sum: weights of one. With $\alpha = 0$ only the last
// part survives, and each is last in one of $K$ orders: soup.

// %% fold="Answer 1"
let sum = PicasoWeights.logWeights([0, 0, 0]).map { Double.exp($0) }
let mean = PicasoWeights.logWeights([-.infinity, -.infinity, -.infinity]).map { Double.exp($0) }
print("α = 1: \(sum.map { text($0, .short(3)) }), α = 0: \(mean.map { text($0, .short(3)) })")
claim("a sum", sum.allSatisfy { abs($0 - 1) < 1e-12 })
claim("and a mean", mean.allSatisfy { abs($0 - 1 / 3) < 1e-12 })

// %% [markdown]
// **2.** For two parts, write $c_1$ as a formula. On whose decay does it depend?

// %% [markdown] fold="Answer 2"
// In half of the orders part 1 is last and counts fully, in the other half part 2 follows:
// $c_1 = (1 + \alpha_2)/2$. It depends on the other's decay.

// %% fold="Answer 2"
let two = PicasoWeights.logWeights([Double.log(0.9), Double.log(0.3)]).map { Double.exp($0) }
print("α = 0.9 and 0.3: weights \(two.map { text($0, .short(4)) })")
claim("(1 + α of the other) / 2", abs(two[0] - 0.65) < 1e-12 && abs(two[1] - 0.95) < 1e-12)

// %% [markdown]
// **3.** Why is $\ln\alpha$ carried and not $\alpha$?

// %% [markdown] fold="Answer 3"
// Over a long text $\alpha$ underflows, and with it every comparison of who forgot more. Logarithms
// add and keep.

// %% fold="Answer 3"
let long = 20_000.0 * -0.04
print("after 20,000 tokens of -0.04: ln α = \(text(long)), α in float64 = \(Double.exp(long))")
claim("the product is gone, the logarithm is not", Double.exp(long) == 0 && long.isFinite)
