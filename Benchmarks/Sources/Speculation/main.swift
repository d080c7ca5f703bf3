//  What look-up gains on a large model, with the guesses that a really trained model confirms.
//
//      duality synthesize --shape hqwen3-8b --precision int8 --out MODEL
//      swift run -c release --package-path Benchmarks speculation MODEL [--tokens 64] [--texts 16] [--threads 2] [--rounds 3]
//
//  A large model of random weights repeats nothing that is worth guessing. So the embedded model
//  writes first, in int8, greedily, on texts of each kind below, and every pass is kept: how many
//  tokens look-up guessed and how many came true. Then MODEL writes as many tokens twice, in turns:
//  without guesses, and with a drafter that guesses as often, as many and as rightly as was kept
//  (it knows the text, since the same bits come again). Copies of the memory, rows that are read
//  once more and all rows of the head are in its time.
//
//  Kinds: `quote` answers questions with numbers out of 1,024 tokens, one question and answer after
//  the other; `copy` writes a paragraph of the held-out text that is there twice a third time,
//  `once` one that is there once; `edit` goes on with a copy in which "that" stands for "the";
//  `story` goes on with a paragraph of which nothing is there.

import DualityCore
import DualityInference
import DualityQuant
import Foundation
import Measure

/// One pass: how many tokens were known, guessed and confirmed.
struct Pass: Sendable {
    var known: Int
    var guessed = 0
    var confirmed = 0
}

/// Keeps what look-up guesses.
final class Record: @unchecked Sendable {
    var passes: [Pass] = []
}

struct Recorder: TokenDrafter {
    var inner: LookupDrafter
    let record: Record

    mutating func draft(after tokens: [Int], atMost limit: Int) throws -> [Int] {
        let guess = inner.draft(after: tokens, atMost: limit)
        record.passes.append(Pass(known: tokens.count, guessed: guess.count))
        return guess
    }
}

/// Guesses what was kept: tokens that will come, and behind them others.
struct Repeater: TokenDrafter {
    let passes: [Int: Pass]
    let text: [Int]
    /// Where the passes' counting of tokens begins.
    let offset: Int

    mutating func draft(after tokens: [Int], atMost limit: Int) throws -> [Int] {
        guard let pass = passes[tokens.count - offset], pass.guessed > 0 else { return [] }
        let right = text.dropFirst(tokens.count).prefix(pass.confirmed)
        guard tokens.count + pass.confirmed < text.count else { return Array(right.prefix(limit)) }
        let wrong = (text[tokens.count + pass.confirmed] + 1) % 1000
        return Array((right + Array(repeating: wrong, count: pass.guessed - pass.confirmed)).prefix(limit))
    }
}

/// Writes greedily and gives the tokens, what was counted and the seconds behind the prompt.
func write<Model: LanguageModel>(
    _ model: Model, _ tokenizer: Tokenizer, _ prompt: [Int], tokens: Int, drafters: [any TokenDrafter]
) async throws -> Completion<Model> {
    let generation = try Generation(
        model, tokenizer: tokenizer, prompt: prompt, sampling: .greedy, limits: GenerationLimits(maxTokens: tokens),
        drafters: drafters)
    for try await event in generation {
        if case .finished(let completion) = event { return completion }
    }
    fatalError("a text without an end")
}

func prompts(_ kind: String, _ paragraphs: [String], _ index: Int) -> String {
    let paragraph = paragraphs[index % paragraphs.count]
    let beginning = paragraph.split(separator: " ").prefix(12).joined(separator: " ")
    if kind == "quote" { return quotes[index % quotes.count] }
    let edited = paragraph.replacing(" the ", with: " that ")
    let begun = edited.split(separator: " ").prefix(12).joined(separator: " ")
    return switch kind {
    case "copy": [paragraph, paragraph, beginning].joined(separator: "\n\n")
    case "edit": [paragraph, edited, begun].joined(separator: "\n\n")
    case "once": [paragraph, beginning].joined(separator: "\n\n")
    default: paragraph
    }
}

guard CommandLine.arguments.count > 1, !CommandLine.arguments[1].hasPrefix("-") else {
    FileHandle.standardError.write(
        Data("usage: speculation MODEL [--tokens N] [--texts N] [--threads N] [--rounds N]\n".utf8))
    exit(2)
}
let (count, texts, rounds) = (option("--tokens", 64), option("--texts", 16), option("--rounds", 3))
let threads = option("--threads", 2)
let root = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../../Models/duality-tiny")
let checkpoint = try Checkpoint(directory: root.path)
let small = try QuantModel(
    checkpoint, configuration: checkpoint.configuration,
    options: QuantOptions(.int8, pool: ThreadPool(threads: threads)))
let tokenizer = try Tokenizer(directory: root.path)
let heldOut = try String(contentsOf: root.appending(path: "data/heldout.txt"), encoding: .utf8)
let paragraphs = heldOut.split(separator: "\n").map(String.init).filter { 300..<600 ~= $0.count }

/// Prompts with two numbers and more among 1,024 tokens.
let quotes = try String(contentsOf: root.appending(path: "data/retrieval.jsonl"), encoding: .utf8).split(
    separator: "\n"
)
.compactMap { line -> String? in
    let row = try JSON(parsing: String(line))
    guard row["bucket"]?.int == 1024, let needles = row["needles"]?.int, needles > 1 else { return nil }
    return row["prompt"]?.string
}

let packed = try PackedCheckpoint(directory: CommandLine.arguments[1])
var options = QuantOptions(plan: packed.plan, pool: ThreadPool(threads: threads))
options.isResident = true
let large = try QuantModel(packed, options: options)

print(
    "# \(CommandLine.arguments[1].split(separator: "/").last ?? ""), \(threads) threads, \(count) tokens, \(texts) texts"
)
print("# kind\ttokens/pass\trows/pass\tright\ttokens/s without\twith\tratio of each round")
let prompt = (0..<16).map { 100 + 7 * $0 }
for kind in ["quote", "copy", "edit", "once", "story"] {
    var (traces, passes, guessed, confirmed) = ([[Int: Pass]](), 0, 0, 0)
    for index in 0..<texts {
        let text = tokenizer.encode(prompts(kind, paragraphs, index))
        let record = Record()
        _ = try await write(
            small, tokenizer, text, tokens: count,
            drafters: [Recorder(inner: LookupDrafter(weightBytes: large.weightBytesPerToken), record: record)])
        var kept = record.passes
        for place in kept.indices {
            let next = place + 1 < kept.count ? kept[place + 1].known : text.count + count
            kept[place].confirmed = min(kept[place].guessed, next - kept[place].known - 1)
        }
        traces.append(Dictionary(kept.map { ($0.known - text.count, $0) }) { first, _ in first })
        passes += kept.count
        guessed += kept.map(\.guessed).reduce(0, +)
        confirmed += kept.map(\.confirmed).reduce(0, +)
    }
    var (ratios, rates) = ([Double](), (without: [Double](), with: [Double]()))
    for round in 0..<rounds {
        let without = try await write(large, tokenizer, prompt, tokens: count, drafters: [])
        var seconds = 0.0
        let some = Array(stride(from: round % max(1, texts / 4), to: texts, by: max(1, texts / 4)))
        for index in some {
            let drafter = Repeater(passes: traces[index], text: prompt + without.tokens, offset: prompt.count)
            let with = try await write(large, tokenizer, prompt, tokens: count, drafters: [drafter])
            precondition(with.tokens == without.tokens, "guesses changed a text")
            seconds += with.timings.generateSeconds
        }
        rates.without.append(Double(count) / without.timings.generateSeconds)
        rates.with.append(Double(count * some.count) / seconds)
        ratios.append(rates.with.last! / rates.without.last!)
    }
    func middle(_ values: [Double]) -> Double { values.sorted()[values.count / 2] }
    print(
        [
            kind, text(Double(count * texts) / Double(passes + texts), 2),
            text(1 + Double(guessed) / Double(passes), 2), "\(confirmed) of \(guessed)",
            text(middle(rates.without), 2), text(middle(rates.with), 2),
            ratios.map { text($0, 2) }.joined(separator: " "),
        ].joined(separator: "\t"))
}
