//  Needles in composed contexts: how many of the numbers in data/retrieval.jsonl a model finds when
//  its context was read in chunks.
//
//      swift run -c release retrieval MODEL [--buckets 512,1024,2048,4096] [--chunks 2,4] [--skip 0] [--limit 48] > retrieval.tsv
//      swift run -c release retrieval --table retrieval.tsv
//
//  Every prompt is a text, a line feed and a question; the text is the context, the question (with
//  the line feed) is read after it. The first token of the text is the prefix of every chunk, and
//  positions are independent. Found when greedy decoding gives the whole number.
//
//  A line a prompt and way of reading, as soon as it is known: prompt, length, needles, chunks,
//  type, found (1 or 0). The second command counts such lines (Table.swift). The rows of a context
//  are read once for all types that want them, by the fast engine in float32; the pure-Swift
//  reference composes them and reads the question, in float32 too. Nothing is begun before the two
//  agree.

import DualityCore
import DualityInference
import DualityQuant
import DualityReference
import Foundation

struct Prompt {
    let name: String
    let bucket: Int
    let needles: Int
    let context: [Int]
    let question: [Int]
    let answer: String
}

func option(_ name: String) -> String? {
    guard let i = CommandLine.arguments.firstIndex(of: name), i + 1 < CommandLine.arguments.count else { return nil }
    return CommandLine.arguments[i + 1]
}

func numbers(_ text: String) -> [Int] { text.split(separator: ",").compactMap { Int($0) } }

if let file = option("--table") {
    print(try Table(contentsOf: file).markdown, terminator: "")
    exit(0)
}

let directory = CommandLine.arguments.dropFirst().first ?? "../Models/duality-tiny"
let buckets = numbers(option("--buckets") ?? "512,1024,2048,4096")
let chunkCounts = numbers(option("--chunks") ?? "2,4")
let limit = option("--limit").flatMap { Int($0) } ?? 48
let skipped = option("--skip").flatMap { Int($0) } ?? 0

let checkpoint = try Checkpoint(directory: directory)
let model = try HybridModel<Float>(checkpoint, configuration: checkpoint.configuration)
let reader = try QuantModel(checkpoint, configuration: checkpoint.configuration, options: QuantOptions(.f32))
let tokenizer = try Tokenizer(directory: directory)
let filler = tokenizer.encode("\n").first ?? 0

let lines = try String(contentsOfFile: "\(directory)/data/retrieval.jsonl", encoding: .utf8).split(separator: "\n")
let prompts: [Prompt] = try lines.compactMap { line in
    let json = try JSON(parsing: String(line), place: "retrieval.jsonl")
    guard let bucket = json["bucket"]?.int, let text = json["prompt"]?.string, let answer = json["answer"]?.string,
        let name = json["id"]?.string, let needles = json["needles"]?.int, let cut = text.lastIndex(of: "\n")
    else { return nil }
    return Prompt(
        name: name, bucket: bucket, needles: needles, context: tokenizer.encode(String(text[..<cut])),
        question: tokenizer.encode(String(text[cut...])), answer: answer)
}

/// Greedy decoding, for as long as what it says is how the answer begins.
func finds(_ answer: String, after composed: ComposedContext<Float>) throws -> Bool {
    var cache = composed.cache
    var (token, said) = (composed.tokens[composed.tokens.count - 1], [Int]())
    while true {
        let logits = try model.nextScores(&cache, after: [token])
        token = logits.indices.max { logits[$0] < logits[$1] } ?? 0
        said.append(token)
        let text = try tokenizer.decode(said, skipSpecial: false).trimmingCharacters(in: .whitespaces)
        if text.hasPrefix(answer) { return true }
        guard answer.hasPrefix(text), said.count < answer.count + 2 else { return false }
    }
}

/// The memory of tokens that are read after those of `cache`.
func read(_ tokens: ArraySlice<Int>, after cache: inout QuantCache) throws -> HybridCache<Float> {
    _ = try reader.extend(&cache, by: Array(tokens), logits: .none)
    return try HybridCache(cache, configuration: checkpoint.configuration)
}

/// Holds the two engines against each other on the beginning of a context.
func requireAgreement(on tokens: ArraySlice<Int>) throws {
    var (quick, slow) = (reader.makeCache(), model.makeCache())
    var handed = try read(tokens.dropLast(), after: &quick)
    _ = try model.extend(&slow, by: Array(tokens.dropLast()), logits: .none)
    let found = try model.nextScores(&handed, after: [tokens[tokens.endIndex - 1]])
    let wanted = try model.nextScores(&slow, after: [tokens[tokens.endIndex - 1]])
    let error = zip(found, wanted).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }
    let norm = wanted.reduce(0) { $0 + $1 * $1 }
    guard (error / norm).squareRoot() < 1e-4 else {
        throw InputError(
            .value, in: "logits after \(tokens.count) tokens", expected: "those of the reference, up to 1e-4",
            found: "a relative error of \((error / norm).squareRoot())")
    }
}

func report(_ prompt: Prompt, chunks: Int, _ type: String, _ found: Bool) {
    let fields = [prompt.name, "\(prompt.bucket)", "\(prompt.needles)", "\(chunks)", type, found ? "1" : "0"]
    FileHandle.standardOutput.write(Data((fields.joined(separator: "\t") + "\n").utf8))
}

FileHandle.standardOutput.write(Data((Table.header + "\n").utf8))
if let first = prompts.first { try requireAgreement(on: first.context.prefix(300)) }
for bucket in buckets {
    for prompt in prompts.filter({ $0.bucket == bucket }).dropFirst(skipped).prefix(limit) {
        // What is read of a text in one piece begins with what is read of the first of its pieces.
        var quick = reader.makeCache()
        var beginnings: [Int: HybridCache<Float>] = [:]
        for end in Set(chunkCounts.map { ($0 - 1 + prompt.context.count) / $0 } + [prompt.context.count]).sorted() {
            beginnings[end] = try read(prompt.context[quick.tokenCount..<end], after: &quick)
        }
        let whole = beginnings[prompt.context.count] ?? model.makeCache()
        var cache = whole
        _ = try model.extend(&cache, by: Array(prompt.question.dropLast()), logits: .none)
        let plain = ComposedContext(tokens: prompt.context + prompt.question, cache: cache)
        report(prompt, chunks: 1, "none", try finds(prompt.answer, after: plain))

        for chunks in chunkCounts {
            for keyValues in [ComposeType.KeyValues.full, .concatenated] {
                let plan = try ChunkPlan(
                    context: prompt.context, chunks: chunks, prefix: Array(prompt.context.prefix(1)), filler: filler,
                    keyValues: keyValues)
                let known = plan.whole == nil ? nil : beginnings[plan.rows[0].tokens.count]
                let rows = try plan.rows.enumerated().map { i, row in
                    if i == 0, let known { return known }
                    var quick = reader.makeCache()
                    return try read(row.tokens[...], after: &quick)
                }
                let memories = ReadRows(rows: rows, whole: plan.whole == nil ? nil : whole)
                for type in ComposeType.allCases where (type.keyValues == .full) == (keyValues == .full) {
                    let composed = try model.compose(
                        memories, plan: plan, type: type, context: prompt.context, question: prompt.question)
                    report(prompt, chunks: chunks, type.rawValue, try finds(prompt.answer, after: composed))
                }
            }
        }
        FileHandle.standardError.write(Data("\(prompt.name)\r".utf8))
    }
}
