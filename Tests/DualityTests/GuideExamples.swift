//  The examples of docs/library.md and of the README, word for word: GuideTests.swift holds the
//  pages against this file and runs it.

import Duality

/// The examples by the heading that they stand under.
enum GuideExamples {
    static func anAnswer() async throws -> String {
        // example
        let session = try LanguageModelSession()
        let answer = try await session.respond(to: "Who is Pip?")
        print(answer)
        // end
        return answer
    }

    static func whatIsAskedFor() async throws -> [String] {
        // example
        let exact = try LanguageModelSession(EngineRequest(engine: .reference, precision: .f64), maxTokens: 4)
        print(exact.loader.choice.engineName, exact.loader.choice.precisionName)
        // end
        return [exact.loader.choice.engineName, exact.loader.choice.precisionName]
    }

    static func pieceByPiece() async throws -> [ChatMessage] {
        // example
        let storyteller = try LanguageModelSession(maxTokens: 40)
        for try await piece in try storyteller.stream("Tell me about a fox.") {
            print(piece, terminator: "")
        }
        // end
        return storyteller.messages
    }

    static func severalTextsAtOnce() async throws -> [String] {
        // example
        let batch = try LanguageModelSession(maxTokens: 12)
        let texts = try await batch.complete(["Once upon a time", "The river was", "Pip the fox"])
        // end
        return texts
    }

    static func scores() async throws -> (count: Int, shape: [Int]) {
        // example
        let scorer = try LanguageModelSession(EngineRequest(precision: .f32))
        let tokens = scorer.tokenizer.encode("Once upon a time")
        let scores = try scorer.logits(tokens)  // [tokens, vocabulary]
        // end
        return (tokens.count, scores.shape)
    }

    static func aKernelsVerdict() async throws -> Verdict {
        // example
        let (length, heads, headDim, stateDim) = (32, 2, 8, 16)
        var random = RandomSource(seed: 1)
        func normal(_ shape: [Int]) -> Tensor<Float> {
            Tensor(repeating: 0, shape: shape).map { (_: Float) in Float(random.normal()) }
        }
        let inputs = [
            "x": normal([1, length, heads, headDim]), "dt": normal([1, length, heads]),
            "A": Tensor<Float>(repeating: -0.5, shape: [heads]),
            "B": normal([1, length, heads, stateDim]), "C": normal([1, length, heads, stateDim]),
        ]
        // Your kernel goes here.
        let operands = try SSDInputs<Float>(readingFrom: TensorDictionary(inputs))
        let outputs = try SSDForm.chunked(size: 16).evaluate(operands)

        let report = try verify(outputs: ["y": outputs.y, "final_states": outputs.finalState], inputs: inputs)
        print(report.verdict)
        // end
        return report.verdict
    }
}
