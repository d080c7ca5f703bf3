// %% [markdown]
// # int8, where it hurts
//
// Every tensor of a trained hybrid is rounded to eight bits, alone, and we measure what that does
// to the model's predictions. Most do not mind. Then a state is kept in bfloat16 for 8,000 tokens
// of a novel, and it minds a lot.
//
// At the end you will know
//
// - how int8 weights with one scale per row work, in three lines;
// - which tensors are sensitive, from a ranking of all of them, and why the step $\Delta$ is
//   special;
// - why states stay in float32: errors that live as long as the memory, and a state that cannot
//   fade.

// %% [markdown]
// ## Eight bits per weight
//
// Take the largest magnitude of a row, divide the row by it, and round to whole numbers from $-127$
// to $127$. One float32 scale per row brings the numbers back. The rounding error of a weight is at
// most half a step, $\tfrac12 \max|w| / 127$. The library's int8 engine does so when it packs a
// matrix, and we ask it what it kept.

// %%
import DualityCore
import DualityNotebook
import DualityNumerics
import DualityQuant
import DualityReference
import Foundation

/// A tensor as the int8 engine returns it, one scale per row (a vector is one); `rows` limits it to
/// some rows.
func int8(_ weight: Tensor<Float>, rows: Range<Int>? = nil) throws -> Tensor<Float> {
    let height = weight.shape.count > 1 ? weight.shape[0] : 1
    let width = weight.count / height
    let places = (rows?.lowerBound ?? 0) * width..<(rows?.upperBound ?? height) * width
    var rounded = weight
    let stored = try Tensor(shape: [height, width], elements: weight.elements).stored(as: .int8(group: 0))
    rounded.elements.replaceSubrange(places, with: stored.elements[places])
    return rounded
}
print("0.8, -0.31, 0.02 becomes \(try int8(Tensor<Float>([0.8, -0.31, 0.02])).elements)")

// %% [markdown]
// ## A model that one can change
//
// We read the embedded model's tensors into a dictionary and, for every change, read the changed
// layers anew. What enters layer $i$ does not depend on layer $i$, so the layers below are run once
// and for all. The measure is the *Kullback-Leibler divergence* of the predictions, in bits a
// token: what one loses by believing the rounded model.

// %%
let embedded = EmbeddedModel<Float>.open()
let weights = try TensorDictionary(reading: embedded.checkpoint)
let tokens = embedded.tokenizer.encode(
    "One of the special magic numbers for river is: 4071. Pip the fox went")
var (outputs, cache) = ([Tensor<Float>](), embedded.model.makeCache())
let original = try embedded.model.extend(&cache, by: tokens) { seen in
    if case .layer(_, .output(let h)) = seen { outputs.append(h) }
}
let streams = outputs  // what leaves each layer
let configuration = embedded.model.configuration
/// The logits with some tensors changed.
func logits(_ changes: [String: Tensor<Float>]) throws -> Tensor<Float> {
    var (changed, model) = (weights, embedded.model)
    changed.tensors.merge(changes) { $1 }
    let layers = changes.keys.compactMap { Int($0.split(separator: ".")[2]) }  // model.layers.3.…
    for layer in layers { try model.reload(layer: layer, from: changed) }
    if layers.isEmpty { model = try HybridModel<Float>(changed, configuration: configuration) }
    if let i = layers.min(), i > 0 { return try model.logits(of: streams[i - 1], enteringLayer: i) }
    var cache = model.makeCache()
    return try model.extend(&cache, by: tokens)
}
/// Mean divergence of the predictions from the original ones, in bits per token.
func divergence(_ found: Tensor<Float>) -> Double {
    func row(_ logits: Tensor<Float>, _ t: Int) -> [Double] {
        logits.rows(t..<t + 1).elements.map { Double($0) }
    }
    let bits = tokens.indices.map { t in
        let (l, m) = (row(original, t), row(found, t))
        let (sumL, sumM) = (l.reduce(0) { $0 + exp($1) }, m.reduce(0) { $0 + exp($1) })
        return zip(l, m).reduce(0) { $0 + exp($1.0) / sumL * ($1.0 - $1.1) } / log(2) + log2(sumM / sumL)
    }
    return bits.reduce(0, +) / Double(bits.count)
}
let same = divergence(try logits([:]))
value("same", same, .scientific(1))
claim("nothing changed, nothing lost", same == 0)

// %% [markdown]
// ## Each tensor alone
//
// Nothing changed, {{same}} bits lost: the instrument is sound. Now each matrix, norm, vector and
// convolution is rounded alone.

// %%
var losses: [(name: String, bits: Double)] = []
for name in weights.names {
    let bits = divergence(try logits([name: int8(weights.tensors[name] ?? Tensor([]))]))
    losses.append((name.replacing("model.", with: "").replacing(".weight", with: ""), max(bits, 1e-9)))
}
losses.sort { $0.bits > $1.bits }
figure(
    "ranking", "The sixteen tensors whose rounding to int8 changes the predictions most.",
    .bars(x: Axis("divergence (bits per token)", .log10), losses.prefix(16).map { ($0.name, $0.bits) }))
value("tensors", losses.count)
value("worst", losses[0].name)
value("worstBits", losses[0].bits, .significant(2))
value("medianBits", losses[losses.count / 2].bits, .significant(2))
claim("the worst is more than 10 times the median", losses[0].bits > 10 * losses[losses.count / 2].bits)

// %% [markdown]
// Of {{tensors}} tensors the worst is *{{worst}}* with {{worstBits}} bits per token; the median is
// {{medianBits}}. A few make up the bill. Which ones depends on the model, so measure.
//
// ## The step is special
//
// The projection into a Mamba-2 layer makes five things at once. Round the rows of one of them at a
// time, in all layers, and divide the divergence by the number of rows, since the five differ in
// size.

// %%
let (inner, shared, heads) = (configuration.innerSize, configuration.keyValueSize, configuration.headCount)
let parts: [(String, Range<Int>)] = [
    ("z", 0..<inner), ("x", inner..<inner + shared), ("B", inner + shared..<inner + 2 * shared),
    ("C", inner + 2 * shared..<2 * inner + 2 * shared),
    ("dt", 2 * inner + 2 * shared..<2 * inner + 2 * shared + heads),
]
let projections = weights.names.filter { $0.hasSuffix("in_proj.weight") }
let byPart = try parts.map { part, rows in
    var changes: [String: Tensor<Float>] = [:]
    for name in projections { changes[name] = try int8(weights.tensors[name] ?? Tensor([]), rows: rows) }
    return (part: part, rows: rows.count, bits: divergence(try logits(changes)))
}
table(
    ["rows of", "rows per layer", "divergence (bits per token)", "a row, in millionths"],
    byPart.map { [$0.part, "\($0.rows)", text($0.bits), text(1e6 * $0.bits / Double($0.rows))] })
let (dt, others) = (byPart[4], byPart.dropLast())
let rest = others.reduce(0) { $0 + $1.bits } / Double(others.reduce(0) { $0 + $1.rows })
value("dtRatio", dt.bits / Double(dt.rows) / rest, .significant(2))
claim("a row of dt is more sensitive than the average row", dt.bits / Double(dt.rows) > 2 * rest)

// %% [markdown]
// Row for row, $\Delta$ is {{dtRatio}} times as sensitive as the others: it sits in an exponent and
// acts on all that a head remembers. A layer has six such rows. The int8 engine keeps them in
// float32, for next to nothing.
//
// ## The state
//
// Rounding a weight happens once. A state is rounded at *every* token. The first two layers read
// 8,000 tokens of a novel, a thousand at a time. One head's operands of them all go through one
// recurrence, its state in three formats.

// %%
let novel = try String(contentsOfFile: "\(embedded.directory)/data/heldout.txt", encoding: .utf8)
let text8000 = Array(embedded.tokenizer.encode(String(novel.prefix(60_000))).prefix(8000))
var lower = configuration
lower.layers.removeLast(lower.layers.count - 2)
let reader = try HybridModel(
    configuration: lower, embedding: embedded.model.embedding, layers: Array(embedded.model.layers[..<2]),
    norm: embedded.model.norm, head: embedded.model.head)
let pieces = try stride(from: 0, to: text8000.count, by: 1000).flatMap { first in
    try reader.scanInputs(reading: Array(text8000[first..<first + 1000])).map(\.inputs)
}
/// One head's part of an operand, the first `width` numbers of each token.
func pick(_ part: (SSDInputs<Float>) -> Tensor<Float>, _ head: Int, width: Int = 1) throws -> Tensor<Double> {
    let numbers = pieces.map(part).flatMap { tensor in
        let size = tensor.count / 1000 / tensor.shape[2]  // of a head at a token
        return (0..<1000).flatMap { tensor.elements[(($0 * tensor.shape[2] + head) * size)...].prefix(width) }
    }
    return try Tensor(shape: [1, 8000, 1] + (width > 1 ? [width] : []), elements: numbers.map { Double($0) })
}
let (head, n, maps) = (3, pieces[0].stateDim, pieces[0].headMap)
/// A head with a long memory, eight of its channels, with its decay divided by a number.
func operands(memory: Double) throws -> SSDInputs<Double> {
    try SSDInputs(
        x: pick(\.x, maps.x[head], width: 8), dt: pick({ $0.effectiveSteps() }, head),
        a: Tensor([Double(pieces[0].a[head]) / memory]), b: pick(\.b, maps.b[head], width: n),
        c: pick(\.c, maps.c[head], width: n), dtSoftplus: false)
}
func growth(_ inputs: SSDInputs<Double>) throws -> [[(Double, Double)]] {
    let (exact, span) = (try SSDForm.recurrent.evaluate(inputs).y, inputs.length / 16 * inputs.headDim)
    return try formats.map { format in
        var arithmetic = KernelArithmetic(.f32, form: .recurrent)
        arithmetic.state = format
        let found = try arithmetic.emulate(inputs).y
        return (0..<16).map { i in
            let places = i * span..<(i + 1) * span
            let errors = zip(found.elements[places], exact.elements[places]).map { $0 - $1 }
            let norm = exact.elements[places].reduce(0) { $0 + $1 * $1 }
            return (Double((i + 1) * 500), (errors.reduce(0) { $0 + $1 * $1 } / norm).squareRoot())
        }
    }
}
let formats: [NumberFormat] = [.f32, .f16, .bf16]
let (trained, slower) = (try operands(memory: 1), try operands(memory: 100))
let (errors, longErrors) = (try growth(trained), try growth(slower))
let along = Axis("tokens read", range: 0...8000)
let relative = Axis("relative error of y", .log10, range: 1e-8...10)
figure(
    "states",
    "Error of the outputs by format of the state: a head as trained, and with a hundred times its memory.",
    .chart("as trained", x: along, y: relative, zip(formats, errors).map { .lineAndPoints($0.name, $1) }),
    .chart("memory × 100", x: along, y: relative, zip(formats, longErrors).map { .line($0.name, $1) }))
let ends = longErrors.map { $0[15].1 }
value("single", ends[0], .scientific(1))
value("brain", ends[2], .percent(0))
value("brainShort", errors[2][15].1, .percent(1))
value("decay", -Double(slower.dt.elements.reduce(0, +)) * slower.a[0] / Double(slower.length), .scientific(1))
claim("float32 is not troubled", ends[0] < 1e-5)
claim("bfloat16 loses more the longer the memory", ends[2] > 5 * errors[2][15].1)

// %% [markdown]
// As trained, the bfloat16 state costs {{brainShort}} and stays there: errors fade together with
// the memory. With a hundred times the memory, a decay of {{decay}} a token as heads of large
// models may have, it costs {{brain}} of the output, and float32 still {{single}}. Where a step of
// decay is smaller than half the spacing of bfloat16, $2^{-9}$, multiplying by it changes nothing:
// *the state cannot fade*. So servers have a switch for float32 states, and here they are the rule.
//
// ## Exercises
//
// **1.** One outlier of 100 joins a row of numbers around 1. What happens to the others at int8?

// %% [markdown] fold="Answer 1"
// The scale becomes $100/127$. Everything below half of that becomes zero, the rest a multiple of
// it. Scales for groups of columns contain the damage.

// %% fold="Answer 1"
let row = try int8(Tensor<Float>([0.3, -0.35, 0.9, 1.4, 100]))
print("\(row.elements)")
claim("small neighbours of an outlier vanish", row.elements[0] == 0 && row.elements[1] == 0)

// %% [markdown]
// **2.** From which decay $|\Delta A|$ downwards does a bfloat16 state of exactly 1 not fade?

// %% [markdown] fold="Answer 2"
// Below 1 the spacing of bfloat16 is $2^{-8}$. A product above $1 - 2^{-9}$ rounds back to 1.

// %% fold="Answer 2"
let stuck = 1e-6 * Double((1...4000).first { BFloat16(exp(-Float($0) * 1e-6)) != BFloat16(Float(1)) } ?? 0)
print("it first fades at \(text(stuck)); 2^-9 = \(text(0x1p-9))")
claim("at half a spacing", abs(stuck / 0x1p-9 - 1) < 0.01)

// %% [markdown]
// **3.** How many bytes does the embedded model save if all its matrices become int8?

// %% [markdown] fold="Answer 3"
// Two bytes a number become one, plus a float32 scale per row.

// %% fold="Answer 3"
let matrices = weights.tensors.values.filter { $0.shape.count == 2 }
let (numbers, rows) = (matrices.reduce(0) { $0 + $1.count }, matrices.reduce(0) { $0 + $1.shape[0] })
print("\(text(Double(2 * numbers) / 0x1p20)) MiB become \(text(Double(numbers + 4 * rows) / 0x1p20)) MiB")
claim("almost half", Double(numbers + 4 * rows) / Double(2 * numbers) < 0.51)
