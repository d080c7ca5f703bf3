import Duality
import TestSupport
import Testing

/// What a dependent sees: a model in two lines, the same numbers as below the door.
@Suite struct LanguageModelSessionTests {
    private func session(
        _ request: EngineRequest = EngineRequest(engine: .fast, precision: .f32), maxTokens: Int = 12
    ) throws -> LanguageModelSession {
        try LanguageModelSession(
            directory: Fixtures.embeddedModel, request, sampling: .greedy, maxTokens: maxTokens)
    }

    @Test func anAnswerIsItsPiecesAndTheConversationRemembersIt() async throws {
        let (whole, pieces) = (try session(), try session())
        let answer = try await whole.respond(to: "Who is Pip?")
        var text = ""
        for try await piece in try pieces.stream("Who is Pip?") { text += piece }
        #expect(!answer.isEmpty && text == answer)
        #expect(whole.messages.map(\.role) == [.user, .assistant])
        #expect(whole.messages.last?.content == answer)
        _ = try await whole.respond(to: "And then?")
        #expect(whole.messages.count == 4)
    }

    @Test func logitsAreTheEnginesOwn() throws {
        let session = try session()
        let tokens = session.tokenizer.encode("Once upon a time")
        let model = try ModelLoader(Fixtures.embeddedModel, session.loader.request).loadFast()
        var cache = model.makeCache()
        let expected = try model.extend(&cache, by: tokens)
        #expect(try session.logits(tokens).elements == expected.elements.map(Double.init))
    }

    /// A batch shares passes and nothing else, with either engine.
    @Test(arguments: [EngineRequest(engine: .fast, precision: .f32), EngineRequest(engine: .reference)])
    func aBatchIsItsTextsOneByOne(request: EngineRequest) async throws {
        let session = try session(request)
        let prompts = ["Once upon a time", "The fox", "One day a big storm came and the river"]
        let together = try await session.complete(prompts)
        for (prompt, text) in zip(prompts, together) {
            let alone = try await session.complete([prompt])
            #expect(alone == [text], "\(prompt)")
        }
        await #expect(throws: InputError.self) { try await session.complete(["fine", ""]) }
    }

    @Test func theLibraryChoosesAsTheCommandDoes() throws {
        let chosen = try ModelLoader(Fixtures.embeddedModel).choice
        #expect(chosen.engineName == "fast" && chosen.precisionName == "bf16")
        let exact = try ModelLoader(Fixtures.embeddedModel, EngineRequest(precision: .f64)).choice
        #expect(exact.engineName == "reference" && exact.precisionName == "f64")
        var wishes = [
            EngineRequest(engine: .reference), EngineRequest(precision: .f64), EngineRequest(precision: .bf16),
        ]
        (wishes[0].threads, wishes[1].isResident, wishes[2].group) = (2, true, 32)
        for request in [
            EngineRequest(engine: .fast, precision: .f64), EngineRequest(engine: .reference, precision: .int8),
        ] + wishes {
            #expect(throws: InputError.self) { try ModelLoader(Fixtures.embeddedModel, request) }
        }
    }

    /// A model that the fast engine cannot run: the reference without a wish, and that is said; an
    /// error with one.
    @Test(arguments: ["qwen3_dense", "m2", "gdn", "gka", "swa"])
    func layersWithoutAFastFormAreSaidOrRefused(name: String) throws {
        let directory = Fixtures.path("models/\(name)")
        let loader = try ModelLoader(directory)
        #expect(loader.notes.isEmpty == (loader.choice.engineName == "fast"), "\(loader.notes)")
        if loader.choice.engineName == "reference" {
            #expect(throws: InputError.self) { try ModelLoader(directory, EngineRequest(engine: .fast)) }
        }
    }
}
