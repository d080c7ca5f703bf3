//  State composition on the fast engine: against the official tool, and against what the reference
//  makes of the same plan in every kind of layer.

import DualityCore
import DualityInference
import DualityQuant
import DualityReference
import TestSupport
import Testing

@Suite struct FastCompositionTests {
    private static func fast(_ source: any TensorSource, _ configuration: HybridConfiguration) throws -> QuantModel {
        try QuantModel(
            source, configuration: configuration,
            options: QuantOptions(.f32, keyValues: .f32, pool: ThreadPool(threads: 2)))
    }

    private func argmax(_ row: [Float]) -> Int { row.indices.max { row[$0] < row[$1] } ?? 0 }

    /// The fast engine in float32 is held to twice what the reference is in float64, and to the
    /// roundings of float32 beside it.
    @Test(arguments: ["m2", "m2_rope"]) func compositionsAreThoseOfTheOfficialTool(name: String) throws {
        let checkpoint = try Checkpoint(directory: Fixtures.path("models/\(name)"))
        let model = try Self.fast(checkpoint, checkpoint.configuration)
        let expected = try SafetensorsFile(path: Fixtures.path("models/\(name)/compose.safetensors"))
        let json = try JSON(contentsOf: Fixtures.path("models/\(name)/compose.json"))
        let suffix = try expected.integers("suffix_input_ids").elements
        let prefix = try expected.integers("prefix_input_ids").elements
        let filler = try #require(json["newline_token_id"]?.int)
        var compared = 0
        for item in try #require(json["cases"]?.array) {
            let type = try ComposeType(named: try #require(item["compose_type"]?.string))
            let chunks = try #require(item["num_chunks"]?.int)
            let sequential = item["sequential_positions"] == true
            let input = item["raises_as_shipped"] == true ? "input_ids_full_kv" : "input_ids"
            let context = Array(try expected.integers(input).elements.dropLast(suffix.count))
            let plan = try ChunkPlan(
                context: context, chunks: chunks, prefix: prefix, filler: filler, keyValues: type.keyValues,
                sequentialPositions: sequential)
            let place = "\(type.rawValue).chunks\(chunks)\(sequential ? ".seqpos" : "")"
            let rows = try model.read(plan)
            for gap in type.keyValues == .sliding ? [GapVisibility.visible, .generation] : [.hidden] {
                let tensor = place + (gap == .generation ? ".masked" : "")
                guard expected.contains("\(tensor).generated") else { continue }
                let composed = try model.compose(
                    rows, plan: plan, type: type, gap: gap, context: context, question: suffix,
                    forgetsPrefix: sequential)
                var (cache, next) = (composed.cache, suffix[suffix.count - 1])
                var (generated, logits) = ([Int](), [Float]())
                while generated.count < 12 {
                    let row = try model.nextScores(&cache, after: [next])
                    if generated.count < 2 { logits += row }
                    next = argmax(row)
                    generated.append(next)
                }
                let wanted: Tensor<Double> = try expected.tensor("\(tensor).logits_f64")
                let error = relativeL2(logits, wanted.elements)
                #expect(error < 5e-5, "\(tensor), logits: \(error)")
                #expect(try generated == expected.integers("\(tensor).generated").elements, "\(tensor)")
                compared += 1
            }
        }
        #expect(compared == (name == "m2" ? 27 : 20))
    }

    private static func configuration(_ kind: LayerKind) -> HybridConfiguration {
        var made = HybridConfiguration(
            vocabularySize: 40, hiddenSize: 20, intermediateSize: 12, layers: [.attention, kind, .attention],
            headCount: 4, keyValueHeadCount: 2, headDim: 6, maxPositions: 512, rope: RopeParameters(theta: 100))
        made.slidingWindow = 9
        made.bmojo.window = 6
        made.bmojo.mixer = .gatedKalmaNet
        made.gatedKalmaNet.iterations = 12
        return made
    }

    /// Every type of every kind of layer, against the reference in float64.
    @Test(arguments: LayerKind.allCases) func everyKindComposesAsTheReferenceDoes(kind: LayerKind) throws {
        let configuration = Self.configuration(kind)
        let checkpoint = try RandomCheckpoint(configuration)
        let model = try Self.fast(checkpoint, configuration)
        let reference = try HybridModel<Double>(checkpoint, configuration: configuration)
        let context = (0..<75).map { ($0 * 7 + $0 / 3) % 40 }
        let question = [3, 1, 4, 1, 5]
        for type in ComposeType.allCases {
            for sequential in [false, true] where type.keyValues != .full || !sequential {
                let plan = try ChunkPlan(
                    context: context, chunks: 3, prefix: [8, 9], filler: 7, keyValues: type.keyValues,
                    sequentialPositions: sequential)
                let exactRows = try reference.read(plan, tracksTransitions: true)
                let exact = try reference.compose(
                    exactRows, plan: plan, type: type, context: context, question: question)
                let ours = try model.compose(
                    try model.read(plan), plan: plan, type: type, context: context, question: question)
                var (cache, theirs) = (ours.cache, exact.cache)
                let error = relativeL2(
                    try model.extend(&cache, by: [question[4], 11]).elements,
                    try reference.extend(&theirs, by: [question[4], 11]).elements)
                #expect(error < 2e-4, "\(type.rawValue), sequential \(sequential): \(error)")
            }
        }
    }

    /// One chunk composed exactly is the context itself: keys and values are the same bits, and
    /// logits those of reading on up to the roundings of a state that was taken out of its chunk.
    @Test func oneChunkIsAnOrdinaryReading() throws {
        let checkpoint = try Checkpoint(directory: Fixtures.path("models/m2"))
        let model = try Self.fast(checkpoint, checkpoint.configuration)
        let context = (0..<131).map { ($0 * 29 + 5) % 512 }
        let plan = try ChunkPlan(context: context, chunks: 1, filler: 0, keyValues: .full)
        let composed = try model.compose(
            try model.read(plan), plan: plan, type: .fullExact, context: context, question: [4])
        var whole = model.makeCache()
        _ = try model.extend(&whole, by: context, logits: .none)
        let (ours, theirs) = (try composed.cache.keysAndValues(ofLayer: 0), try whole.keysAndValues(ofLayer: 0))
        #expect(ours?.keys == theirs?.keys && ours?.values == theirs?.values)
        var cache = composed.cache
        let error = relativeL2(
            try model.extend(&cache, by: [4]).elements, try model.extend(&whole, by: [4]).elements.map { Double($0) })
        #expect(error < 2e-5, "\(error)")
    }
}
