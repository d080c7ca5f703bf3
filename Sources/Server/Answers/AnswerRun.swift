//  The events of a request, made into an answer: whole, or chunk by chunk. Put together, a stream
//  is the whole answer, because both are made of the same pieces.

import DualityCore
import DualityInference
import DualityQuant

/// An answer while it arrives. Lives in one task.
package struct AnswerRun: Sendable {
    let job: AnswerJob
    var choices: [ChoiceState]
    let writer: LogProbabilityWriter
    /// Of the prompts, tokens that a snapshot held.
    var cachedTokens = 0
    /// The log probabilities of each prompt, where they are echoed.
    private var promptScores: [Int: [TokenScore]] = [:]

    package init(_ job: AnswerJob) {
        self.job = job
        choices = (0..<job.choiceCount).map { _ in ChoiceState(job.model, job.reading) }
        writer = LogProbabilityWriter(job.model, writesIDs: job.options.writesTokensAsIDs)
    }

    /// What an event leads to.
    package struct Step: Sendable {
        /// Chunks to be sent, if the answer is streamed.
        package var chunks: [JSON] = []
        /// A choice of the event's prompt that a stop string has ended, and its tokens.
        package var stopped: (choice: Int, tokens: Int)?
    }

    /// Takes the next event of a prompt's answer.
    ///
    /// - Throws: `RequestError` when the answer broke off.
    package mutating func take(_ event: ServingEvent, ofPrompt prompt: Int) throws(RequestError) -> Step {
        var step = Step()
        switch event {
        case .admitted(let cached): cachedTokens += cached
        case .promptScores(let scores): promptScores[prompt] = scores
        case .token(let choice, let score):
            let index = prompt * job.options.choices + choice
            guard choices[index].end == nil, !choices[index].reader.isStopped else { break }
            begin(index, prompt, &step)
            take(score, index, &step)
            if choices[index].reader.isStopped {
                step.stopped = (choice, choices[index].reader.tokenCount)
                finish(index, .finished, &step)
            }
        case .finished(let choice, let reason, _):
            let index = prompt * job.options.choices + choice
            guard choices[index].end == nil else { break }
            if reason == .cancelled, !choices[index].reader.isStopped { throw .isShuttingDown }
            begin(index, prompt, &step)
            finish(index, reason, &step)
        case .rejected(let rejection): throw RequestError(rejection)
        case .failed(let error): throw RequestError(error)
        }
        return step
    }

    // MARK: The parts of a choice

    private mutating func begin(_ index: Int, _ prompt: Int, _ step: inout Step) {
        guard !choices[index].hasBegun else { return }
        choices[index].hasBegun = true
        if job.isChat {
            if job.options.streams { step.chunks.append(firstChunk(index)) }
            return
        }
        guard case .completion(let texts) = job.kind, prompt < texts.count else { return }
        choices[index].content = texts[prompt]
        let tokens = job.requests[prompt].prompt
        var decoder = StreamingDecoder(job.model.tokenizer)
        var offset = 0
        if job.options.logprobs != nil {
            choices[index].scores.appendFirst(tokens[0], writer)
            offset = decoder.push(tokens[0]).unicodeScalars.count
            for score in promptScores[prompt] ?? [] {
                choices[index].scores.append(score, offset: offset, writer)
                offset += decoder.push(score.token).unicodeScalars.count
            }
        }
        choices[index].characterCount = texts[prompt].unicodeScalars.count
        if job.options.streams {
            step.chunks.append(
                textChunk(index, texts[prompt], job.options.logprobs == nil ? nil : choices[index].scores, tokens: []))
        }
    }

    private mutating func take(_ score: TokenScore, _ index: Int, _ step: inout Step) {
        let pieces = choices[index].reader.take(score.token)
        if job.options.returnsTokens { choices[index].tokens.append(score.token) }
        let offset = choices[index].characterCount
        var entry: JSON?
        var scores: CompletionScores?
        if job.options.logprobs != nil {
            if job.isChat {
                entry = writer.chatEntry(score)
            } else if job.options.streams {
                scores = CompletionScores()
                scores?.append(score, offset: offset, writer)
            }
        }
        choices[index].count(score.token, isText: !job.reading.endTokens.contains(score.token))
        choices[index].take(pieces)
        if job.options.streams {
            if job.isChat {
                step.chunks += chunks(index, pieces, entry: entry, token: score.token)
            } else {
                let text = Self.content(pieces)
                if !text.isEmpty || scores != nil || job.options.returnsTokens {
                    step.chunks.append(textChunk(index, text, scores, tokens: [score.token]))
                }
            }
        } else if job.isChat {
            if let entry { choices[index].entries.append(entry) }
        } else if job.options.logprobs != nil {
            choices[index].scores.append(score, offset: offset, writer)
        }
    }

    private mutating func finish(_ index: Int, _ reason: ServingReason, _ step: inout Step) {
        let pieces = choices[index].reader.finish()
        choices[index].take(pieces)
        choices[index].end = choices[index].reader.end(reason)
        guard job.options.streams else { return }
        if job.isChat {
            step.chunks += chunks(index, pieces, entry: nil, token: nil)
            step.chunks.append(lastChunk(index))
        } else {
            step.chunks.append(textChunk(index, Self.content(pieces), nil, tokens: []))
        }
    }

    static func content(_ pieces: [AnswerPiece]) -> String {
        pieces.reduce(into: "") { text, piece in if case .content(let more) = piece { text += more } }
    }
}
