//  Needles in composed contexts: how many of the numbers in data/retrieval.jsonl a model finds when its context was read in chunks.
//
//      swift run -c release --package-path Benchmarks retrieval MODEL [--buckets 512,1024] [--chunks 2,4] [--skip 0] [--limit 48] > retrieval.tsv
//
//  Every prompt is a text, a line feed and a question; the text is the context, the question (with the line feed) is read after it. The first
//  token of the text is the prefix of every chunk. Correct when greedy decoding gives the whole number. Rows of chunks are read once for
//  all types. Tab-separated: bucket, chunks, type, correct, prompts.

import DualityCore
import DualityInference
import DualityReference
import Foundation

struct Prompt {
    let bucket: Int
    let context: [Int]
    let question: [Int]
    let answer: String
}

func option(_ name: String) -> String? {
    guard let i = CommandLine.arguments.firstIndex(of: name), i + 1 < CommandLine.arguments.count else { return nil }
    return CommandLine.arguments[i + 1]
}

let directory = CommandLine.arguments.count > 1 ? CommandLine.arguments[1] : "Models/duality-tiny"
let buckets = (option("--buckets") ?? "512").split(separator: ",").compactMap { Int($0) }
let chunkCounts = (option("--chunks") ?? "2,4").split(separator: ",").compactMap { Int($0) }
let limit = option("--limit").flatMap { Int($0) } ?? 48
let skipped = option("--skip").flatMap { Int($0) } ?? 0

let checkpoint = try Checkpoint(directory: directory)
let model = try HybridModel<Float>(checkpoint, configuration: checkpoint.configuration)
let tokenizer = try Tokenizer(directory: directory)
let filler = tokenizer.encode("\n").first ?? 0

let lines = try String(contentsOfFile: "\(directory)/data/retrieval.jsonl", encoding: .utf8).split(separator: "\n")
let prompts: [Prompt] = try lines.compactMap { line in
    let json = try JSON(parsing: String(line), place: "retrieval.jsonl")
    guard let bucket = json["bucket"]?.int, let text = json["prompt"]?.string, let answer = json["answer"]?.string,
        let cut = text.lastIndex(of: "\n")
    else { return nil }
    return Prompt(
        bucket: bucket, context: tokenizer.encode(String(text[..<cut])),
        question: tokenizer.encode(String(text[cut...])), answer: answer)
}

func isFound(_ prompt: Prompt, _ composed: ComposedContext<Float>) throws -> Bool {
    let tokens = try model.generate(
        after: composed, sampling: .greedy, maxTokens: prompt.answer.count + 2, endTokens: [])
    return try tokenizer.decode(tokens, skipSpecial: false).trimmingCharacters(in: .whitespaces)
        .hasPrefix(prompt.answer)
}

func report(_ bucket: Int, _ chunks: Int, _ type: String, _ found: [Bool]) {
    let line = "\(bucket)\t\(chunks)\t\(type)\t\(found.filter { $0 }.count)\t\(found.count)\n"
    FileHandle.standardOutput.write(Data(line.utf8))
}

FileHandle.standardOutput.write(Data("bucket\tchunks\ttype\tcorrect\tprompts\n".utf8))
let threads = ProcessInfo.processInfo.activeProcessorCount
for bucket in buckets {
    let chosen = Array(prompts.filter { $0.bucket == bucket }.dropFirst(skipped).prefix(limit))
    var plain: [Bool] = []
    var found: [Int: [ComposeType: [Bool]]] = [:]
    for prompt in chosen {
        var cache = model.makeCache()
        _ = try model.extend(&cache, by: prompt.context, logits: .none)
        let whole = cache
        _ = try model.extend(&cache, by: Array(prompt.question.dropLast()), logits: .none)
        plain.append(
            try isFound(prompt, ComposedContext(tokens: prompt.context + prompt.question, cache: cache)))
        for chunks in chunkCounts {
            for keyValues in [ComposeType.KeyValues.full, .concatenated] {
                let plan = try ChunkPlan(
                    context: prompt.context, chunks: chunks, prefix: Array(prompt.context.prefix(1)), filler: filler,
                    keyValues: keyValues)
                let rows = try await model.read(plan, readsWhole: false, threads: threads)
                let read = ReadRows(rows: rows.rows, whole: plan.whole == nil ? nil : whole)
                for type in ComposeType.allCases
                where (type.keyValues == .full) == (keyValues == .full) {
                    let composed = try model.compose(
                        read, plan: plan, type: type, context: prompt.context, question: prompt.question)
                    found[chunks, default: [:]][type, default: []].append(try isFound(prompt, composed))
                }
            }
        }
        FileHandle.standardError.write(Data("\(bucket): \(plain.count) of \(chosen.count)\r".utf8))
    }
    report(bucket, 1, "none", plain)
    for chunks in chunkCounts {
        for type in ComposeType.allCases { report(bucket, chunks, type.rawValue, found[chunks]?[type] ?? []) }
    }
}
