// %% [markdown]
// # int8, where it hurts
//
// Every tensor of a trained hybrid is rounded to eight bits, alone, and we measure what that does to the model's
// predictions. Most do not mind. Then a state is kept in bfloat16 for 8,000 tokens, and it minds a lot.
//
// At the end you will know
//
// - how int8 weights with one scale a row work, in three lines;
// - which tensors are sensitive, from a ranking of all of them, and why the step $\Delta$ is special;
// - why states stay in float32: errors that live as long as the memory, and a state that cannot fade.

// %% [markdown]
// ## Eight bits a weight
//
// Take the largest magnitude of a row, divide the row by it, and round to whole numbers from $-127$ to $127$. One
// float32 scale a row brings the numbers back. The rounding error of a weight is at most half a step,
// $\tfrac12 \max|w| / 127$.

// %%
import DualityCore
import DualityNotebook
import DualityReference
import Foundation

/// A tensor as int8 with one scale a row would return it; `rows` limits it to some rows.
func int8(_ weight: Tensor<Float>, rows: Range<Int>? = nil) -> Tensor<Float> {
    let width = weight.shape.count > 1 ? weight.count / weight.shape[0] : weight.count
    var rounded = weight
    for row in rows ?? 0..<weight.count / width {
        let places = row * width..<(row + 1) * width
        let scale = (weight.elements[places].map(\.magnitude).max() ?? 0) / 127
        for i in places where scale > 0 {
            rounded.elements[i] = (weight.elements[i] / scale).rounded() * scale
        }
    }
    return rounded
}
print("0.8, -0.31, 0.02 becomes \(int8(Tensor<Float>([0.8, -0.31, 0.02])).elements)")

// %% [markdown]
// ## A model that one can change
//
// We read the embedded model's tensors into a dictionary, and make a model from it for every change. What enters layer
// $i$ does not depend on layer $i$, so the layers below are run once and for all. The measure is the *Kullback-Leibler
// divergence* of the predictions, in bits a token: what one loses by believing the rounded model instead of the
// original.

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
/// The logits with some tensors changed, none of them below layer `first`.
func logits(_ changes: [String: Tensor<Float>], from first: Int) throws -> Tensor<Float> {
    var changed = weights
    changed.tensors.merge(changes) { $1 }
    let model = try HybridModel<Float>(changed, configuration: embedded.model.configuration)
    if first > 0 { return try model.logits(of: streams[first - 1], enteringLayer: first) }
    var cache = model.makeCache()
    return try model.extend(&cache, by: tokens)
}
/// The layer a tensor belongs to; the embedding comes before all, and the last norm after all.
func layer(of name: String) -> Int {
    let words = name.split(separator: ".")
    return words[1] == "layers" ? Int(words[2]) ?? 0 : name.contains("embed") ? 0 : streams.count
}
/// Mean divergence of the predictions from the original ones, in bits a token.
func divergence(_ found: Tensor<Float>) -> Double {
    func logProbabilities(_ row: [Float]) -> [Double] {
        let largest = Double(row.max() ?? 0)
        let sum = log(row.reduce(0.0) { $0 + exp(Double($1) - largest) })
        return row.map { Double($0) - largest - sum }
    }
    let bits = tokens.indices.map { t in
        let p = logProbabilities(original.rows(t..<t + 1).elements)
        let q = logProbabilities(found.rows(t..<t + 1).elements)
        return zip(p, q).reduce(0) { $0 + exp($1.0) * ($1.0 - $1.1) } / log(2)
    }
    return bits.reduce(0, +) / Double(bits.count)
}
let same = divergence(try logits([:], from: 5))
value("same", same, .scientific(1))
claim("nothing changed, nothing lost", same == 0)

// %% [markdown]
// Nothing changed, {{same}} bits lost: the instrument is sound.
//
// ## Each tensor alone
//
// Matrices, norms, vectors, convolutions: each is rounded once, while all others stay as they are.

// %%
var losses: [(name: String, bits: Double)] = []
for name in weights.names {
    let found = try logits([name: int8(weights.tensors[name] ?? Tensor([]))], from: layer(of: name))
    let short = name.replacing("model.", with: "").replacing(".weight", with: "")
    losses.append((short, max(divergence(found), 1e-9)))
}
losses.sort { $0.bits > $1.bits }
figure(
    "ranking", "The sixteen tensors whose rounding to int8 changes the predictions most.",
    .bars(x: Axis("divergence (bits a token)", .log10), losses.prefix(16).map { ($0.name, $0.bits) }))
value("tensors", losses.count)
value("worst", losses[0].name)
value("worstBits", losses[0].bits, .significant(2))
value("medianBits", losses[losses.count / 2].bits, .significant(2))
claim("the worst is more than 10 times the median", losses[0].bits > 10 * losses[losses.count / 2].bits)

// %% [markdown]
// Of {{tensors}} tensors the worst is *{{worst}}* with {{worstBits}} bits a token; the median is {{medianBits}}. A few
// make up the bill. Which ones depends on the model, so measure.
//
// ## The step is special
//
// The projection into a Mamba-2 layer makes five things at once. Round the rows of one of them at a time, in all
// layers, and divide the divergence by the number of rows, since the five differ in size.

// %%
let configuration = embedded.model.configuration
let (inner, shared, heads) = (configuration.innerSize, configuration.keyValueSize, configuration.headCount)
let parts: [(String, Range<Int>)] = [
    ("z", 0..<inner), ("x", inner..<inner + shared), ("B", inner + shared..<inner + 2 * shared),
    ("C", inner + 2 * shared..<2 * inner + 2 * shared),
    ("dt", 2 * inner + 2 * shared..<2 * inner + 2 * shared + heads),
]
let projections = weights.names.filter { $0.hasSuffix("in_proj.weight") }
let byPart = try parts.map { part, rows in
    var changes: [String: Tensor<Float>] = [:]
    for name in projections { changes[name] = int8(weights.tensors[name] ?? Tensor([]), rows: rows) }
    return (part: part, rows: rows.count, bits: divergence(try logits(changes, from: 1)))
}
table(
    ["rows of", "rows a layer", "divergence (bits a token)", "a row, in millionths"],
    byPart.map { part in
        [part.part, "\(part.rows)", text(part.bits), text(1e6 * part.bits / Double(part.rows))]
    })
let (dt, others) = (byPart[4], byPart.dropLast())
let rest = others.reduce(0) { $0 + $1.bits } / Double(others.reduce(0) { $0 + $1.rows })
value("dtRatio", dt.bits / Double(dt.rows) / rest, .significant(2))
claim("a row of dt is more sensitive than the average row", dt.bits / Double(dt.rows) > 2 * rest)

// %% [markdown]
// Row for row, $\Delta$ is {{dtRatio}} times as sensitive as the others: it sits in an exponent and acts on all that a
// head remembers. A layer has six such rows. The int8 engine keeps them in float32, for next to nothing.
//
// ## The state
//
// Rounding a weight happens once. A state is rounded at *every* token. We take the operands of one head from a page,
// have it read over and over for 8,000 tokens, and keep the state in three formats.

// %%
let page = try String(contentsOfFile: "\(embedded.directory)/data/heldout.txt", encoding: .utf8).prefix(1500)
let scans = try embedded.model.scanInputs(reading: Array(embedded.tokenizer.encode(String(page)).prefix(250)))
/// One head's part of an operand, of `width` numbers a token, repeated until it is 8,000 tokens long.
func pick(_ tensor: Tensor<Float>, _ head: Int, width: Int) throws -> Tensor<Double> {
    let (length, heads) = (tensor.shape[1], tensor.shape[2])
    var once: [Double] = []
    for first in (0..<length).map({ ($0 * heads + head) * width }) {
        for i in first..<first + width { once.append(Double(tensor.elements[i])) }
    }
    let all = Array(repeatElement(once, count: 32).joined())
    return try Tensor(shape: [1, 32 * length, 1] + (width > 1 ? [width] : []), elements: all)
}
let (scan, head, p) = (scans[5].inputs, 2, scans[5].inputs.headDim)
/// The head whose memory is longest, with its decay divided by a number.
func operands(memory: Double) throws -> SSDInputs<Double> {
    try SSDInputs(
        x: pick(scan.x, scan.headMap.x[head], width: p), dt: pick(scan.effectiveSteps(), head, width: 1),
        a: Tensor([Double(scan.a[head]) / memory]), b: pick(scan.b, scan.headMap.b[head], width: p),
        c: pick(scan.c, scan.headMap.c[head], width: p), dtSoftplus: false)
}
func growth(_ inputs: SSDInputs<Double>, _ format: NumberFormat) throws -> [(Double, Double)] {
    var arithmetic = KernelArithmetic(.f32, form: .recurrent)
    arithmetic.state = format
    let (found, exact) = (try arithmetic.emulate(inputs).y, try SSDForm.recurrent.evaluate(inputs).y)
    let span = inputs.length / 16 * inputs.headDim
    return (0..<16).map { i in
        let places = i * span..<(i + 1) * span
        let errors = zip(found.elements[places], exact.elements[places]).map { $0 - $1 }
        let norm = exact.elements[places].reduce(0) { $0 + $1 * $1 }
        return (Double((i + 1) * inputs.length / 16), (errors.reduce(0) { $0 + $1 * $1 } / norm).squareRoot())
    }
}
let formats: [NumberFormat] = [.f32, .f16, .bf16]
let (trained, slower) = (try operands(memory: 1), try operands(memory: 50))
let errors = try formats.map { try growth(trained, $0) }
let longErrors = try formats.map { try growth(slower, $0) }
let along = Axis("tokens read", range: 0...8000)
let relative = Axis("relative error of y", .log10, range: 1e-8...10)
figure(
    "states",
    "Error of the outputs by format of the state: a head as trained, and with fifty times its memory.",
    .chart("as trained", x: along, y: relative, zip(formats, errors).map { .lineAndPoints($0.name, $1) }),
    .chart("memory × 50", x: along, y: relative, zip(formats, longErrors).map { .line($0.name, $1) }))
let ends = longErrors.map { $0[15].1 }
value("single", ends[0], .scientific(1))
value("brain", ends[2], .percent(0))
value("brainShort", errors[2][15].1, .percent(1))
value("decay", -Double(slower.dt.elements.reduce(0, +)) * slower.a[0] / Double(slower.length), .scientific(1))
claim("float32 is not troubled", ends[0] < 1e-5)
claim("bfloat16 loses more the longer the memory", ends[2] > 5 * errors[2][15].1)

// %% [markdown]
// As trained, the bfloat16 state costs {{brainShort}} and stays there: errors fade together with the memory. With fifty
// times the memory, a decay of {{decay}} a token as heads of large models may have, it costs {{brain}} of the output,
// and float32 still {{single}}. Many roundings are alive at once. And where a step of decay is smaller than half the
// spacing of bfloat16, $2^{-9}$, multiplying by it changes nothing: *the state cannot fade*. This is why servers have a
// switch for float32 states, and why here they are the rule.
//
// ## Exercises
//
// **1.** One outlier of 100 joins a row of numbers around 1. What happens to the others at int8?

// %% [markdown] fold="Answer 1"
// The scale becomes $100/127$. Everything below half of that becomes zero, the rest a multiple of it. Scales for groups
// of columns contain the damage.

// %% fold="Answer 1"
let row = int8(Tensor<Float>([0.3, -0.35, 0.9, 1.4, 100]))
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
// Two bytes a number become one, plus a float32 scale a row.

// %% fold="Answer 3"
let matrices = weights.tensors.values.filter { $0.shape.count == 2 }
let (numbers, rows) = (matrices.reduce(0) { $0 + $1.count }, matrices.reduce(0) { $0 + $1.shape[0] })
print("\(text(Double(2 * numbers) / 0x1p20)) MiB become \(text(Double(numbers + 4 * rows) / 0x1p20)) MiB")
claim("almost half", Double(numbers + 4 * rows) / Double(2 * numbers) < 0.51)
