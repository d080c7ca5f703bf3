//  One text that is being generated, a token at a time.

import DualityCore
import DualityInference
import Foundation

struct TextStream {
    let request: Int
    let sample: Int
    private(set) var text = ""
    private(set) var finish = ""
    private(set) var count = 0
    private var tokens: [Int]
    private let limit: Int
    private let contextLimit: Int?
    private let ends: Set<Int>
    private var sampler: Sampler
    private var decoder: StreamingDecoder
    private var stops: StopStrings

    init(
        request: Int, sample: Int, prompt: [Int], _ generation: TaskRequest.Generation, ends: Set<Int>, seed: UInt64,
        _ tokenizer: Tokenizer, contextLimit: Int?
    ) throws {
        (self.request, self.sample, tokens, self.ends) = (request, sample, prompt, ends)
        (limit, self.contextLimit) = (generation.maxTokens, contextLimit)
        var sampling = SamplingParameters()
        sampling.temperature = generation.temperature
        sampling.topP = generation.topP ?? 1
        sampling.seed = seed
        try sampling.validate()
        sampler = Sampler(sampling)
        decoder = StreamingDecoder(tokenizer)
        stops = StopStrings(generation.stop)
    }

    /// Draws the next token from its scores.
    ///
    /// - Returns: the token to read; nil when the text has ended.
    mutating func take(_ logits: [Float]) throws -> Int? {
        let token = try sampler.next(logits: logits, history: tokens)
        if ends.contains(token) { return end("stop") }
        tokens.append(token)
        count += 1
        text += stops.push(decoder.push(token))
        if stops.matched != nil {
            finish = "stop"
            return nil
        }
        if count >= limit || tokens.count >= contextLimit ?? .max { return end("length") }
        return token
    }

    private mutating func end(_ reason: String) -> Int? {
        finish = reason
        text += stops.push(decoder.finish()) + stops.finish()
        return nil
    }
}

/// Log-probabilities in float64.
enum LogSoftmax {
    /// ln p of one entry of a row of scores.
    static func value(_ row: ArraySlice<Float>, of token: Int) -> Double {
        var largest = -Float.infinity
        for score in row where score > largest { largest = score }
        var sum = 0.0
        for score in row { sum += exp(Double(score) - Double(largest)) }
        return Double(row[row.startIndex + token]) - Double(largest) - log(sum)
    }
}
