// %% [markdown]
// # What a state remembers
//
// We look into a trained model while it reads. Each head has a half-life, from less than a token to
// dozens; some tokens move the clock; and how much of a state is old can be read off exactly.
//
// At the end you will know
//
// - how to read a head's half-life off its $\Delta_t A$, and how widely half-lives differ in one
//   model;
// - which tokens make a head take a large step, which it skips, and that one head waits for a
//   reset;
// - how much of a state was written more than ten or a hundred tokens ago.

// %% [markdown]
// ## A model and a text
//
// The repository holds a small hybrid, really trained: twelve layers, attention and Mamba-2 in
// turn, six heads in each. It reads a page that was kept out of its training. On the way we ask
// what each Mamba-2 layer applies SSD to.

// %%
import DualityCore
import DualityNotebook
import DualityReference
import Foundation

let embedded = EmbeddedModel<Float>.open()
let novel = try String(contentsOfFile: "\(embedded.directory)/data/heldout.txt", encoding: .utf8)
let length = 448
let tokens = Array(embedded.tokenizer.encode(String(novel.prefix(4000))).prefix(length))
let scans = try embedded.model.scanInputs(reading: tokens)
let heads = scans[0].inputs.heads

let opening = try embedded.tokenizer.decode(Array(tokens[..<22])).replacing("\n", with: " ")
print("\(tokens.count) tokens: \(opening) …")

// %% [markdown]
// ## Half-lives
//
// At every token the state of a head is multiplied by $a_t = e^{\Delta_t A}$. The step $\Delta_t$
// comes from the token, the rate $A$ is fixed. After tokens $s+1, \dots, t$ what is left of token
// $s$ is $e^{\,(\Delta_{s+1}+\dots+\Delta_t)\,A}$. On average a token costs
// $\overline{\Delta}\,|A|$ in the exponent, so half is gone after
//
// $$ t_{1/2} = \frac{\ln 2}{\overline{\Delta}\,|A|} \quad\text{tokens.} $$

// %%
/// What each token adds to the exponent of the decay, a number below zero.
func logDecays(_ inputs: SSDInputs<Float>, head: Int) -> [Double] {
    let steps = inputs.effectiveSteps()
    return (0..<inputs.length).map { Double(steps[0, $0, head] * inputs.a[head]) }
}
func halfLife(_ inputs: SSDInputs<Float>, head: Int) -> Double {
    let logs = logDecays(inputs, head: head)
    return -log(2) * Double(logs.count) / logs.reduce(0, +)
}
let halfLives = scans.map { scan in (0..<heads).map { halfLife(scan.inputs, head: $0) } }
figure(
    "half-lives", "Half-lives in tokens, on this text. Every layer has short memories and long ones.",
    .map(
        x: "head (from 1)", y: "Mamba-2 layer (from 1)", colour: Axis("half-life (tokens)", .log10),
        halfLives, numbers: .significant(2)))

let all = halfLives.flatMap { $0 }.sorted()
value("heads", all.count)
value("shortest", all[0], .significant(2))
value("median", (all[all.count / 2 - 1] + all[all.count / 2]) / 2, .significant(2))
value("longest", all[all.count - 1], .significant(2))
claim("half-lives spread over a factor of more than 30", all[all.count - 1] > 30 * all[0])

// %% [markdown]
// {{heads}} heads, from {{shortest}} to {{longest}} tokens, with a median of {{median}}. Nobody set
// these. Training found that a layer wants several clocks: most for the word at hand, some for the
// phrase, a few for the paragraph.
//
// ## Share left, by distance
//
// Half-lives are averages. Take three heads and measure what they stand for: the share of a token
// that is left $d$ tokens later, averaged over the text. The dashed lines are $2^{-d/t_{1/2}}$.

// %%
struct Head { let scan: Int, head: Int, halfLife: Double }
let ranked = halfLives.enumerated().flatMap { i, row in
    row.enumerated().map { Head(scan: i, head: $0, halfLife: $1) }
}.sorted { $0.halfLife < $1.halfLife }
let chosen = [ranked[1], ranked[ranked.count / 2], ranked[ranked.count - 1]]
let distances = [0, 1, 2, 4, 8, 16, 32, 64, 128, 256]

func shares(_ head: Head) -> [(Double, Double)] {
    var sums = [0.0]
    for log in logDecays(scans[head.scan].inputs, head: head.head) { sums.append(sums[sums.count - 1] + log) }
    return distances.map { d in
        let spans = (0..<sums.count - d).map { exp(sums[$0 + d] - sums[$0]) }
        return (Double(d), spans.reduce(0, +) / Double(spans.count))
    }
}
let names = ["short", "middle", "long"]
let measured = chosen.map(shares)
let clocks = chosen.map { head in distances.map { (Double($0), exp2(-Double($0) / head.halfLife)) } }
figure(
    "shares", "Share of a token that is left d tokens later, mean over the text. Dashed: by half-life alone.",
    .chart(
        x: Axis("distance d (tokens)", range: 0...128), y: Axis("share left", .log10, range: 1e-5...1),
        zip(names, measured).map { .lineAndPoints($0, $1) } + clocks.map { .dashed("", $0) }))
let worst = zip(measured.joined(), clocks.joined()).map { $0.1 / $1.1 }.min() ?? 0
claim("the mean share is never below the clock's", worst > 0.99)

// %% [markdown]
// The measured shares lie above their clocks. They must: a mean of exponentials is at least the
// exponential of the mean (Jensen). Steps that differ from token to token make the gap. The gap
// *is* the selectivity.
//
// ## Which tokens move the clock
//
// So steps differ. Take a head whose steps differ much, relative to their mean, and sort tokens by
// the step they cause.

// %%
func spread(_ head: Head) -> Double {
    let logs = logDecays(scans[head.scan].inputs, head: head.head)
    let mean = logs.reduce(0, +) / Double(logs.count)
    let variance = logs.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(logs.count)
    return variance.squareRoot() / -mean
}
let restless = ranked.sorted { spread($0) > spread($1) }
let (wild, keen) = (restless[0], restless[1])
let steps = scans[keen.scan].inputs.effectiveSteps()
var stepsOf: [Int: [Double]] = [:]
for (t, token) in tokens.enumerated() { stepsOf[token, default: []].append(Double(steps[0, t, keen.head])) }
let common = stepsOf.filter { $0.value.count >= 4 }.map {
    (token: $0.key, mean: $0.value.reduce(0, +) / Double($0.value.count), count: $0.value.count)
}.sorted { $0.mean > $1.mean }
func shown(_ token: Int) -> String {
    let text = (try? embedded.tokenizer.decode([token])) ?? "?"
    return "‘" + text.replacing("\n", with: "⏎").replacing(" ", with: "␣") + "’"
}
table(
    ["token", "mean step Δ", "times in the text"],
    (common.prefix(7) + common.suffix(7)).map { [shown($0.token), text($0.mean), "\($0.count)"] })
let (most, least) = (common[0], common[common.count - 1])
value("keen", "head \(keen.head) of layer \(scans[keen.scan].layer)")
value("spread", spread(keen), .percent(0))
value("ratio", most.mean / least.mean, .significant(2))
let stops = common.prefix(7).contains { shown($0.token) == "‘.’" }
claim(
    "full stops are among the largest steps, word ends among the smallest",
    stops && most.mean > 4 * least.mean)

// %% [markdown]
// This is {{keen}}; its steps vary by {{spread}} of their mean, and from one end of the table to
// the other by a factor of {{ratio}}. A large step does two things at once: it writes the token in
// strongly, and it lets everything before fade. A small step skips the token and keeps the rest.
// Full stops, verbs and pronouns move this clock.
//
// One head goes further. Its steps are tiny, except now and then.

// %%
let wildLogs = logDecays(scans[wild.scan].inputs, head: wild.head)
figure(
    "reset",
    "What the most restless head keeps of its state at each token: mostly all; now and then, little.",
    .chart(
        x: Axis("position in the text (tokens)"), y: Axis("share kept at a token", range: 0...1.02),
        .line("", wildLogs.enumerated().map { (Double($0), exp($1)) })))
let jump = wildLogs.indices.min { wildLogs[$0] < wildLogs[$1] } ?? 0
let quiet = log(2) / -wildLogs.sorted()[length / 2]
value("wild", "head \(wild.head) of layer \(scans[wild.scan].layer)")
value("jumpAt", shown(tokens[jump]))
value("jumpKeeps", exp(wildLogs[jump]), .percent(0))
value("quiet", quiet, .significant(2))
value("wildMean", wild.halfLife, .significant(2))
claim("between its jumps it remembers twice as long as its mean says", quiet > 2 * wild.halfLife)

// %% [markdown]
// Here {{wild}} meets {{jumpAt}} and keeps {{jumpKeeps}} of its state. Between such events its
// typical step alone would give a half-life of {{quiet}} tokens; the mean, which counts the jumps
// too, says {{wildMean}}. That is selection at its purest: hold on, until told to let go.

// %% [markdown]
// ## What the state is made of
//
// Decay says how fast things fade, but not how much of a state is old: that depends on how strongly
// each token was written. It can be split exactly. With $S_{t-d}$ the state $d$ tokens ago,
//
// $$ S_t = e^{\,(\Delta_{t-d+1}+\dots+\Delta_t)A}\;S_{t-d} \;+\; \text{what the last } d \text{ tokens wrote.} $$
//
// The library returns states at regular places, so the first term is at hand. Its norm is shown
// relative to that of $S_t$.

// %%
func oldShares(_ head: Head) throws -> [(Double, Double)] {
    let inputs = scans[head.scan].inputs
    let outputs = try SSDForm.recurrent.evaluate(inputs, statesEvery: 8)
    let (states, size) = (outputs.boundaryStates?.elements ?? [], inputs.headDim * inputs.stateDim)
    func norm(_ boundary: Int) -> Double {
        let state = states.dropFirst((boundary * heads + head.head) * size).prefix(size)
        return state.reduce(0.0) { $0 + Double($1) * Double($1) }.squareRoot()
    }
    let (logs, last) = (logDecays(inputs, head: head.head), outputs.boundaries.count - 1)
    return zip(outputs.boundaries, 0..<last).reversed().map { tokens, boundary in
        let left = exp(logs[tokens...].reduce(0, +))
        return (Double(length - tokens), 100 * left * norm(boundary) / norm(last))
    }
}
let old = try chosen.map(oldShares)
let oldPart = Axis("older part of the state (%)", range: 0...120)
figure(
    "old", "How much of the last state was written more than d tokens before the end.",
    .chart(x: Axis("distance d (tokens)", range: 0...256), y: oldPart, zip(names, old).map { .line($0, $1) }))
func share(_ head: Int, _ distance: Double) -> Double { (old[head].first { $0.0 >= distance }?.1 ?? 0) / 100 }
value("longOld", share(2, 96), .percent(0))
value("middleOld", share(1, 96), .percent(1))
claim("the long head still holds much of what is 96 tokens old", share(2, 96) > 0.2)
claim("the short head holds nothing that is 32 tokens old", share(0, 32) < 0.01)

// %% [markdown]
// What was written more than 96 tokens ago makes up {{longOld}} of the long head's state, and
// {{middleOld}} of the middle one's. (Old and new parts are not orthogonal, so shares need not sum
// to one.) No head holds a page word by word: that is what the attention layers between them are
// for.
//
// ## Exercises
//
// **1.** After how many tokens is a contribution too small for float32 to add to a state of the
// same size, for the longest memory here?

// %% [markdown] fold="Answer 1"
// Float32 resolves one part in $2^{24}$. A share halves every half-life, so it takes 24 of them.

// %% fold="Answer 1"
print("\(text(24 * all[all.count - 1], .fixed(0))) tokens")
claim("24 halvings leave one part in 2^24", exp2(-24.0) == 0x1p-24)

// %% [markdown]
// **2.** Are half-lives a property of the model or of the text? Let it read sums instead of prose.

// %% [markdown] fold="Answer 2"
// Of both. $A$ is the model's, $\Delta_t$ depends on what is read.

// %% fold="Answer 2"
let sums = (0..<24).map { "\($0 + 11) + \(3 * $0) = \(4 * $0 + 11)." }.joined(separator: " ")
let other = try embedded.model.scanInputs(reading: Array(embedded.tokenizer.encode(sums).prefix(256)))
let changes = ranked.map { halfLife(other[$0.scan].inputs, head: $0.head) / $0.halfLife }
let (shorter, longer) = (changes.min() ?? 0, changes.max() ?? 0)
print("half-life on sums over half-life on prose: \(text(shorter)) to \(text(longer))")
claim("some head changes its clock by half or more", shorter < 0.67 || longer > 1.5)

// %% [markdown]
// **3.** A head of the 8B model may have $\overline\Delta\,|A| = 10^{-3}$. What is its half-life,
// and after how many tokens is a bfloat16 state too coarse to fade at all?

// %% [markdown] fold="Answer 3"
// $\ln 2 / 10^{-3}$ tokens. And *from the first token on*: a factor of $1 - 10^{-3}$ is nearer to 1
// than bfloat16's spacing of $2^{-8}$ below 1, so a state that is rounded after every token comes
// back unchanged.

// %% fold="Answer 3"
print("half-life: \(text(log(2) / 1e-3, .fixed(0))) tokens")
claim("a bfloat16 state of 1 does not fade", BFloat16(exp(Float(-1e-3))) == BFloat16(Float(1)))
