// %% [markdown]
// # Which layer remembers what
//
// One dense model and five hybrids primed from it, trained on the same batches, side by side: what
// a longer context brings each, what it keeps of a word it has met, and what that costs. Then their
// order, as a model card prints it for large models, is held against our errors.
//
// At the end you will know
//
// - how perplexity falls with the window and with the place in it, for six kinds of memory;
// - what an earlier occurrence of a word is worth, by how far back it is;
// - which differences between the kinds the data decide, and which they leave open.

// %% [markdown]
// ## Six models
//
// Three million parameters each, six layers, of which every second one is attention in all of them.
// The other three are attention (*dense*), Mamba-2 (*m2*), Gated DeltaNet (*gdn*), Gated KalmaNet
// (*gka*), attention to the last 128 tokens (*swa*), or B'MOJO-F around KalmaNet (*bmf*). The fast
// engine reads them in float32.

// %%
import DualityCore
import DualityInference
import DualityNotebook
import DualityQuant
import Foundation

let embedded = try ModelLocation.find()
let folder = URL(fileURLWithPath: embedded).deletingLastPathComponent().appendingPathComponent("family").path
guard FileManager.default.fileExists(atPath: "\(folder)/dense/config.json") else {
    stop("there is no family beside \(embedded): set DUALITY_MODEL to the package's Models/duality-tiny")
}
let names = ["dense", "m2", "gdn", "gka", "swa", "bmf"]
let models = try names.map { name in
    let checkpoint = try Checkpoint(directory: "\(folder)/\(name)")
    return try QuantModel(
        checkpoint, configuration: checkpoint.configuration, options: QuantOptions(.f32))
}
let heldOut = try String(contentsOfFile: "\(embedded)/data/heldout.txt", encoding: .utf8)
let text8K = Array(
    try Tokenizer(directory: "\(folder)/dense").encode(String(heldOut.prefix(48_000))).prefix(8192))
print("\(text8K.count) tokens of novels that nobody was trained on")

// %% [markdown]
// ## A longer window
//
// The text is cut into windows; a model begins each with an empty memory and is scored on every
// token but the first, with $-\ln p$. The longer the window, the more a token has before it.

// %%
/// -ln p of every token of the text, read in windows of so many; 0 for the first of each.
func surprise(_ model: QuantModel, window: Int) throws -> [Double] {
    let width = model.configuration.vocabularySize
    var found: [Double] = []
    for start in stride(from: 0, to: text8K.count, by: window) {
        let tokens = Array(text8K[start..<min(start + window, text8K.count)])
        var cache = model.makeCache()
        found.append(0)
        for piece in stride(from: 0, to: tokens.count - 1, by: 256) {
            let some = Array(tokens[piece..<min(piece + 256, tokens.count - 1)])
            let logits = try model.extend(&cache, by: some).elements
            for i in some.indices {
                let row = logits[i * width..<(i + 1) * width]
                let top = row.max() ?? 0
                let sum = row.reduce(Float(0)) { $0 + exp($1 - top) }
                let token = tokens[piece + i + 1]
                found.append(Double(top - logits[i * width + token]) + log(Double(sum)))
            }
        }
    }
    return found
}
func mean(_ values: [Double]) -> Double { values.isEmpty ? .nan : values.reduce(0, +) / Double(values.count) }

let windows = [128, 512, 2048]
let losses = try models.map { model in try windows.map { try surprise(model, window: $0) } }
/// e to the mean of what was scored.
func perplexity(_ model: Int, _ window: Int) -> Double {
    let scored = losses[model][window].enumerated().filter { $0.offset % windows[window] != 0 }
    return exp(mean(scored.map(\.element)))
}
/// Mean loss between two places of the windows of 2048.
func loss(_ model: Int, _ places: Range<Int>) -> Double {
    mean(losses[model][2].enumerated().filter { places.contains($0.offset % 2048) }.map(\.element))
}
let places = [1..<64, 64..<128, 128..<256, 256..<512, 512..<1024, 1024..<2048]
func centre(_ range: Range<Int>) -> Double {
    (Double(range.lowerBound) * Double(range.upperBound)).squareRoot()
}
figure(
    "windows",
    "Left: perplexity by window. Right: mean loss by place in a window of 2048, less that of dense.",
    .chart(
        x: Axis("window (tokens)", .log2), y: Axis("perplexity"),
        names.indices.map { m in
            .lineAndPoints(names[m], windows.indices.map { (Double(windows[$0]), perplexity(m, $0)) })
        }),
    .chart(
        x: Axis("place in the window (tokens)", .log2), y: Axis("loss less dense's (nats a token)"),
        names.indices.dropFirst().map { m in
            .lineAndPoints(names[m], places.map { (centre($0), loss(m, $0) - loss(0, $0)) })
        }))
value("short", perplexity(0, 0), .significant(3))
value("long", perplexity(0, 2), .significant(3))
claim(
    "every model gains from a longer window",
    names.indices.allSatisfy { perplexity($0, 2) < perplexity($0, 0) })

// %% [markdown]
// From 128 to 2048 tokens the dense model falls from {{short}} to {{long}}. What separates the
// models is small beside that: most of what a novel has to say about its next word stands close by.
//
// ## A word that was here before
//
// Take a token that last occurred $d$ tokens ago, before the window of 128 that it stands in. The
// reader with the short window never saw that occurrence, the one with 2048 did. What the long
// reader gains at such tokens, less what it gains at tokens that never occurred before, is what the
// occurrence was worth.

// %%
/// Tokens since the last occurrence in the window of 2048; nil for the first.
let distances: [Int?] = {
    var (last, found): ([Int: Int], [Int?]) = ([:], [])
    for (i, token) in text8K.enumerated() {
        if i % 2048 == 0 { last = [:] }
        found.append(last[token].map { i - $0 })
        last[token] = i
    }
    return found
}()
let ranges = [1..<128, 128..<256, 256..<512, 512..<1024, 1024..<2048]
/// What the long window gains at some tokens that the short one knows nothing about.
func gain(_ model: Int, _ isMeant: (Int?) -> Bool) -> Double {
    let places = text8K.indices.filter { i in
        let place = i % 128
        guard place > 0, i % 2048 >= 128 else { return false }
        return isMeant(distances[i]) && distances[i].map { $0 > place } ?? true
    }
    return mean(places.map { losses[model][0][$0] - losses[model][2][$0] })
}
let newWords = names.indices.map { m in gain(m) { $0 == nil } }
let gains = names.indices.map { m in
    ranges.map { range in gain(m) { $0.map { range.contains($0) } ?? false } - newWords[m] }
}
figure(
    "distance", "What an earlier occurrence is worth, by the tokens between it and now.",
    .chart(
        x: Axis("tokens since the last occurrence", .log2), y: Axis("gain (nats)"),
        names.indices.map { m in .lineAndPoints(names[m], zip(ranges, gains[m]).map { (centre($0), $1) }) }))
table(
    ["gain (nats) at"] + ranges.map { "\($0.lowerBound) to \($0.upperBound - 1)" },
    names.indices.map { m in [names[m]] + gains[m].map { text($0, .significant(2)) } })
value("near", mean(gains.map { $0[0] }), .significant(2))
value("far", mean(gains.map { $0[4] }), .significant(2))
claim("a near occurrence is worth more than a far one, in every model", gains.allSatisfy { $0[0] > $0[4] })

// %% [markdown]
// A word that was here a moment ago is worth {{near}} nats, one from a thousand tokens back
// {{far}}. The curves of the six lie on each other: all of them have three layers of full
// attention, and that is where such a word is looked up. What the other layer adds is in the
// losses' second digit.
//
// ## What it costs
//
// Bytes of a memory depend on nothing but the kind and the length. Speed is that of one sequence
// and small models: reading the weights hides most of it.

// %%
let lengths = [256, 512, 1024, 2048, 4096]
var (bytes, speeds): ([[Double]], [[Double]]) = ([], [])
for model in models {
    var cache = model.makeCache()
    var (sizes, rates): ([Double], [Double]) = ([], [])
    for length in lengths {
        let more = Array(text8K[cache.tokenCount..<length])
        _ = try model.extend(&cache, by: more, logits: .none)
        sizes.append(Double(cache.byteCount))
        var copy = cache
        _ = try model.extend(&copy, by: [1], logits: .last)
        let start = ContinuousClock.now
        for token in 2..<34 { _ = try model.extend(&copy, by: [token], logits: .last) }
        let time = (ContinuousClock.now - start).components
        rates.append(32 / (Double(time.seconds) + 1e-18 * Double(time.attoseconds)))
    }
    (bytes, speeds) = (bytes + [sizes], speeds + [rates])
}
func byLength(_ numbers: [[Double]]) -> [Series] {
    names.indices.map { m in .lineAndPoints(names[m], zip(lengths, numbers[m]).map { (Double($0), $1) }) }
}
figure(
    "cost", "Bytes of a sequence's memory, and tokens decoded a second, by the length of the context.",
    .chart(x: Axis("context (tokens)", .log2), y: Axis("memory (bytes)", .log10), byLength(bytes)),
    .chart(x: Axis("context (tokens)", .log2), y: Axis("decoding (tokens/s)"), byLength(speeds)))
value("denseBytes", bytes[0][4] / 4096, .significant(3))
value("share", bytes[4][4] / bytes[0][4], .significant(2))
claim(
    "at 4096 tokens every hybrid needs less memory than the dense model",
    bytes.dropFirst().allSatisfy { $0[4] < bytes[0][4] })

// %% [markdown]
// The dense model stores {{denseBytes}} bytes per token; with windows in half of the layers
// {{share}} of it is left. States of matrices are a constant on top of that.
//
// ## The order
//
// A card of 8B models orders them GKA, then GDN, then Mamba-2, then SWA. Ours were measured on 40
// windows of 2048 tokens (`Models/family/results.json`); since all read the same windows, the error
// of a difference is that of the paired differences, and far below that of each loss.

// %%
let results = try JSON(contentsOf: "\(folder)/results.json")
let pairs = [("gdn", "gka"), ("m2", "gdn"), ("swa", "m2"), ("m2", "gka"), ("swa", "gka"), ("dense", "gka")]
let differences = pairs.map { worse, better -> (name: String, d: Double, error: Double) in
    let all = results["paired_window_2048"]
    let (pair, sign) =
        all?["\(worse) - \(better)"].map { ($0, 1.0) } ?? (all?["\(better) - \(worse)"] ?? .null, -1)
    let (d, error) = (pair["difference"]?.double ?? .nan, pair["standard_error"]?.double ?? .nan)
    return ("\(worse) - \(better)", sign * d, error)
}
table(
    ["loss of", "difference (nats)", "standard error", "in errors", "decided"],
    differences.map { pair in
        let z = pair.d / pair.error
        return [
            pair.name, text(pair.d, .significant(2)), text(pair.error, .significant(2)),
            text(z, .significant(2)),
            abs(z) > 1.96 ? "yes" : "no",
        ]
    })
let decided = differences.filter { abs($0.d / $0.error) > 1.96 }
value("decided", decided.map(\.name).joined(separator: ", "))
value("open", differences.filter { abs($0.d / $0.error) <= 1.96 }.map(\.name).joined(separator: ", "))
claim("the order of the losses is the card's", differences[..<3].allSatisfy { $0.d > 0 })
claim("not every step of it is decided", decided.count < differences.count)

// %% [markdown]
// The losses stand in the card's order. Decided are {{decided}}; left open are {{open}}. And these
// are errors of the text: each model was trained once, from one seed, and what another training run
// would change is in none of them. None of the six finds a number in a context, so they say nothing
// about recall, which is what the card's order is about.
//
// ## Exercises
//
// **1.** By how much would 8192 tokens alone, these here, have decided between swa and gka?

// %% [markdown] fold="Answer 1"
// Take the differences over stretches of 512 tokens; their spread over the root of their number is
// the error of their mean.

// %% fold="Answer 1"
let stretches = stride(from: 0, to: text8K.count, by: 512).map { start in
    mean((start..<start + 512).map { losses[4][2][$0] - losses[3][2][$0] })
}
let spread =
    stretches.map { ($0 - mean(stretches)) * ($0 - mean(stretches)) }.reduce(0, +)
    / Double(stretches.count - 1)
let error = (spread / Double(stretches.count)).squareRoot()
print("swa - gka: \(text(mean(stretches), .significant(2))) with an error of \(text(error, .significant(2)))")
claim("fewer tokens, a larger error", error > differences[4].error)

// %% [markdown]
// **2.** How many tokens until a state of gdn is smaller than what its layer would store as
// attention?

// %% [markdown] fold="Answer 2"
// The hybrid's memory at 256 tokens less half of the dense model's is what the three states and
// windows of taps cost; half of the dense model's bytes per token is what they save.

// %% fold="Answer 2"
let crossing = (bytes[2][0] - bytes[0][0] / 2) / (bytes[0][4] / 4096 / 2)
print("after \(text(crossing, .fixed(0))) tokens")
claim("within the context", crossing > 0 && crossing < 4096)

// %% [markdown]
// **3.** Which part of a window of 2048 costs swa most against the dense model?

// %% [markdown] fold="Answer 3"
// The part behind its own window: before 128 tokens it sees what the dense model sees.

// %% fold="Answer 3"
let costs = places.map { loss(4, $0) - loss(0, $0) }
table(["places", "swa - dense (nats)"], zip(places, costs).map { ["\($0)", text($1, .significant(2))] })
claim("more behind the window than within it", mean(Array(costs[2...])) > mean(Array(costs[..<2])))
