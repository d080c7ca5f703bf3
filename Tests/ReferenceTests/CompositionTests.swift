//  State composition against the official tool (Tests/Fixtures/models/*/compose.*) and against what
//  it means.

import DualityCore
import Foundation
import TestSupport
import Testing

@testable import DualityReference

/// A checkpoint and the compositions made of it.
private struct Compositions {
    let model: HybridModel<Double>
    let expected: SafetensorsFile
    let cases: [JSON]
    let filler: Int

    init(_ name: String) throws {
        let checkpoint = try Checkpoint(directory: Fixtures.path("models/\(name)"))
        model = try HybridModel<Double>(checkpoint, configuration: checkpoint.configuration)
        expected = try SafetensorsFile(path: Fixtures.path("models/\(name)/compose.safetensors"))
        let json = try JSON(contentsOf: Fixtures.path("models/\(name)/compose.json"))
        cases = try #require(json["cases"]?.array)
        filler = try #require(json["newline_token_id"]?.int)
    }

    func ids(_ name: String) throws -> [Int] { try expected.integers(name).elements }
}

@Suite struct CompositionTests {
    @Test(arguments: ["m2", "m2_rope"]) func compositionsAreThoseOfTheOfficialTool(name: String) throws {
        let fixture = try Compositions(name)
        let (suffix, prefix) = (try fixture.ids("suffix_input_ids"), try fixture.ids("prefix_input_ids"))
        var compared = (cases: 0, states: 0)
        for item in fixture.cases {
            let type = try ComposeType(named: try #require(item["compose_type"]?.string))
            let chunks = try #require(item["num_chunks"]?.int)
            let sequential = item["sequential_positions"] == true
            let isShortened = item["raises_as_shipped"] == true
            let input = try fixture.ids(isShortened ? "input_ids_full_kv" : "input_ids")
            let context = Array(input.dropLast(suffix.count))
            let plan = try ChunkPlan(
                context: context, chunks: chunks, prefix: prefix, filler: fixture.filler, keyValues: type.keyValues,
                sequentialPositions: sequential)
            let place = "\(type.rawValue).chunks\(chunks)\(sequential ? ".seqpos" : "")"
            #expect(plan.nextPosition == item["seqlen_offset"]?.int, "\(place)")
            if type.keyValues == .sliding {
                #expect(plan.lead.count == item["sw_prefix"]?.int && plan.gap.count == item["sw_gap"]?.int, "\(place)")
            }
            let rows = try fixture.model.read(plan)
            for gap in type.keyValues == .sliding ? [GapVisibility.visible, .generation] : [.hidden] {
                let tensor = place + (gap == .generation ? ".masked" : "")
                guard fixture.expected.contains("\(tensor).generated") else { continue }
                var cache = try fixture.model.compose(rows, plan: plan, type: type, gap: gap)
                compared.cases += 1
                for (i, layer) in cache.layers.enumerated() {
                    guard let scan = layer.scan, fixture.expected.contains("\(tensor).state.layers.\(i).ssm_state")
                    else { continue }
                    let state: Tensor<Double> = try fixture.expected.tensor("\(tensor).state.layers.\(i).ssm_state")
                    let error = relativeL2(scan.state.elements, state.elements)
                    #expect(error < 2e-6, "\(tensor), state of layer \(i): \(error)")
                    let window: Tensor<Double> = try fixture.expected.tensor("\(tensor).state.layers.\(i).conv_state")
                    let columns = (0..<3).flatMap { t in
                        (0..<scan.window.shape[1]).map { window.elements[$0 * 4 + t + 1] }
                    }
                    #expect(relativeL2(scan.window.elements, columns) < 2e-6, "\(tensor), window of layer \(i)")
                    compared.states += 1
                }
                // The query's last token is the first step of generation.
                _ = try fixture.model.extend(&cache, by: Array(suffix.dropLast()), logits: .none)
                if gap == .generation { cache.hideGap(of: plan) }
                if sequential { cache.forgetPrefix(of: plan) }
                var (next, generated, logits) = (suffix[suffix.count - 1], [Int](), [Double]())
                while generated.count < 12 {
                    let row = try fixture.model.extend(&cache, by: [next]).elements
                    if generated.count < 2 { logits += row }
                    next = row.indices.max { row[$0] < row[$1] } ?? 0
                    generated.append(next)
                }
                let wanted: Tensor<Double> = try fixture.expected.tensor("\(tensor).logits_f64")
                let error = relativeL2(logits, wanted.elements)
                #expect(error < 2e-6, "\(tensor), logits: \(error)")
                #expect(generated == (try fixture.ids("\(tensor).generated")), "\(tensor)")
            }
        }
        #expect(compared.cases == (name == "m2" ? 27 : 20), "\(compared)")
        #expect(compared.states > 0 || name == "m2_rope")
    }

    @Test func oneChunkIsAnOrdinaryReading() throws {
        let fixture = try Compositions("m2")
        let (context, prefix) = ([5, 6, 7, 8, 9, 10, 11], [1, 2])
        for type in [ComposeType.concatenatedSoup, .concatenatedFuse, .concatenatedExact, .slidingSoup] {
            let plan = try ChunkPlan(
                context: context, chunks: 1, prefix: prefix, filler: 10, keyValues: type.keyValues)
            let composed = try fixture.model.compose(fixture.model.read(plan), plan: plan, type: type)
            var plain = fixture.model.makeCache()
            _ = try fixture.model.extend(&plain, by: prefix + context)
            for i in plain.layers.indices {
                plain.layers[i].scan?.logDecay = [0, 0, 0, 0]  // starts again
            }
            #expect(composed == plain, "\(type)")
        }
    }

    /// The worked example: seven tokens, three chunks, a prefix of two.
    @Test func chunksAndPositionsAreThoseOfTheWorkedExample() throws {
        for (sequential, next) in [(false, 5), (true, 9)] {
            let plan = try ChunkPlan(
                context: Array(100..<107), chunks: 3, prefix: [1, 2], filler: 0, keyValues: .sliding,
                sequentialPositions: sequential)
            #expect(plan.rows.map(\.tokens) == [[1, 2, 100, 101, 102], [1, 2, 103, 104, 105], [0, 0, 1, 2, 106]])
            #expect(plan.rows.map(\.kept) == [5, 3, 1])
            #expect(plan.nextPosition == next && plan.keptCount == 9 && plan.gap == 2..<8)
            let positions = plan.rows.map { $0.runs.flatMap { Array($0.position..<$0.position + $0.count) } }
            #expect(
                positions
                    == (sequential
                        ? [[0, 1, 2, 3, 4], [0, 1, 5, 6, 7], [0, 1, 8, 9, 10]]
                        : Array(repeating: [0, 1, 2, 3, 4], count: 3)))
        }
        let full = try ChunkPlan(context: Array(0..<7), chunks: 3, filler: 0, keyValues: .full)
        #expect(full.rows.map(\.tokens) == [[0, 1, 2], [3, 4], [5, 6]] && full.nextPosition == 7)
        let short = try ChunkPlan(context: Array(0..<5), chunks: 4, filler: 9, keyValues: .concatenated)
        #expect(short.rows.map(\.tokens) == [[9, 0, 1], [9, 2, 3], [9, 9, 4], [9, 9, 9]])
        #expect(short.rows.map(\.kept) == [3, 2, 1, 0])
        for bad in [(0, 1), (3, 0)] {
            #expect(throws: InputError.self) {
                try ChunkPlan(context: Array(0..<bad.0), chunks: bad.1, filler: 0, keyValues: .full)
            }
        }
        let error = #expect(throws: InputError.self) { try ComposeType(named: "concat_kv_soup") }
        #expect(error?.kind == .unknown)
    }

    // MARK: the weights

    /// A layer whose inputs do not depend on what was before: one layer, no convolution across the
    /// border.
    @Test(arguments: [LayerKind.mamba2, .gatedDeltaNet, .gatedKalmaNet])
    func exactCompositionIsReadingOneAfterAnother(kind: LayerKind) throws {
        var configuration = HybridConfiguration(
            vocabularySize: 30, hiddenSize: 16, intermediateSize: 8, layers: [kind], headCount: 4, keyValueHeadCount: 2,
            headDim: 4)
        configuration.mamba2.convolutionTaps = 1
        configuration.gatedDeltaNet.convolutionTaps = 1
        configuration.gatedKalmaNet.convolutionTaps = 1
        for decaysGram in kind == .gatedKalmaNet ? [true, false] : [true] {
            configuration.gatedKalmaNet.decaysGram = decaysGram
            let model = try HybridModel<Double>(RandomCheckpoint(configuration), configuration: configuration)
            let tokens = (0..<17).map { ($0 * 11) % 30 }
            let plan = try ChunkPlan(context: tokens, chunks: 3, filler: 0, keyValues: .full)
            let composed = try model.compose(
                model.read(plan, tracksTransitions: true), plan: plan, type: .fullExact)
            var whole = model.makeCache()
            _ = try model.extend(&whole, by: tokens)
            for (got, expected) in zip(composed.layers[0].fixedTensors, whole.layers[0].fixedTensors) {
                let error = maximumDifference(got.tensor.elements, expected.tensor.elements)
                #expect(error < 1e-13, "\(got.name): \(error)")
            }
            if kind == .gatedDeltaNet {
                #expect(throws: InputError.self) { try model.compose(model.read(plan), plan: plan, type: .fullFuse) }
            }
        }
    }

    /// The window of a convolution in the first layer is nothing but the last inputs, whatever was
    /// before.
    @Test(arguments: [LayerKind.mamba2, .gatedDeltaNet, .gatedKalmaNet])
    func exactCompositionKeepsTheLastInputsOfAConvolution(kind: LayerKind) throws {
        let configuration = HybridConfiguration(
            vocabularySize: 30, hiddenSize: 16, intermediateSize: 8, layers: [kind], headCount: 4, keyValueHeadCount: 2,
            headDim: 4)
        let model = try HybridModel<Double>(RandomCheckpoint(configuration), configuration: configuration)
        let tokens = (0..<13).map { ($0 * 11) % 30 }
        let plan = try ChunkPlan(context: tokens, chunks: 3, filler: 0, keyValues: .full)
        let rows = try model.read(plan, tracksTransitions: true)
        var whole = model.makeCache()
        _ = try model.extend(&whole, by: tokens)
        /// The largest difference of the windows from those of reading in one piece.
        func error(_ type: ComposeType) throws -> Double {
            let composed = try model.compose(rows, plan: plan, type: type)
            let pairs = zip(composed.layers[0].fixedTensors, whole.layers[0].fixedTensors).filter { $0.0.isWindow }
            return pairs.map { maximumDifference($0.0.tensor.elements, $0.1.tensor.elements) }.max() ?? .nan
        }
        #expect(try error(.fullExact) < 1e-13)
        // The mean of the chunks' windows, which the other types take, is another thing.
        #expect(try error(.fullSoup) > 1e-2)
    }

    /// Every kind of layer composes in every way, and goes on from there; windows see what they
    /// would of the chunks in a row.
    @Test func everyKindOfLayerComposes() throws {
        var configuration = HybridConfiguration(
            vocabularySize: 30, hiddenSize: 16, intermediateSize: 8,
            layers: [.attention, .slidingWindowAttention, .gatedDeltaNet, .gatedKalmaNet, .bmojo, .mamba2],
            headCount: 4,
            keyValueHeadCount: 2, headDim: 4)
        configuration.slidingWindow = 4
        configuration.bmojo.window = 3
        let model = try HybridModel<Double>(RandomCheckpoint(configuration), configuration: configuration)
        let tokens = (0..<13).map { ($0 * 11) % 30 }
        for type in ComposeType.allCases {
            for gap in GapVisibility.allCases {
                let plan = try ChunkPlan(
                    context: tokens, chunks: 3, prefix: [3, 1], filler: 2, keyValues: type.keyValues)
                let rows = try model.read(plan, tracksTransitions: true)
                var cache = try model.compose(rows, plan: plan, type: type, gap: gap)
                #expect(cache.fits(configuration), "\(type)")
                let seen = cache.layers[0].keyValues?.count
                #expect(seen == (type.keyValues == .sliding && gap == .hidden ? 5 : plan.keptCount), "\(type), \(gap)")
                #expect(cache.layers[1].keyValues?.count == 3)
                let row = try model.extend(&cache, by: [4])
                #expect(row.elements.allSatisfy { $0.isFinite }, "\(type)")
                #expect(cache.tokenCount == plan.nextPosition + 1)
            }
        }
        // With one chunk the windows hold what plain reading leaves in them.
        let plan = try ChunkPlan(context: tokens, chunks: 1, prefix: [3], filler: 2, keyValues: .concatenated)
        let composed = try model.compose(
            model.read(plan, tracksTransitions: true), plan: plan, type: .concatenatedExact)
        var plain = model.makeCache()
        _ = try model.extend(&plain, by: [3] + tokens)
        for (a, b) in zip(composed.layers, plain.layers) {
            #expect(a.keyValues == b.keyValues && a.fadingKeyValues == b.fadingKeyValues)
            #expect(a.fixedTensors.map(\.tensor) == b.fixedTensors.map(\.tensor))
        }
    }

    @Test func statesOfOtherTokensOrModelsAreRefused() throws {
        let fixture = try Compositions("m2_rope")
        let directory = try Fixtures.temporaryDirectory()
        let path = directory.appendingPathComponent("rows.safetensors").path
        let plan = try ChunkPlan(context: [1, 2, 3, 4, 5], chunks: 2, filler: 9, keyValues: .concatenated)
        let rows = try fixture.model.read(plan)
        try rows.write(to: path, plan: plan, modelHash: "abc")
        func load(_ plan: ChunkPlan, _ hash: String) throws -> ReadRows<Double> {
            try ReadRows(path: path, plan: plan, modelHash: hash, configuration: fixture.model.configuration)
        }
        #expect(try load(plan, "abc") == rows)
        #expect(throws: InputError.self) { try load(plan, "abd") }
        let others = [
            try ChunkPlan(context: [1, 2, 3, 4, 6], chunks: 2, filler: 9, keyValues: .concatenated),
            try ChunkPlan(context: [1, 2, 3, 4, 5], chunks: 3, filler: 9, keyValues: .concatenated),
            try ChunkPlan(context: [1, 2, 3, 4, 5], chunks: 2, filler: 8, keyValues: .concatenated),
            try ChunkPlan(
                context: [1, 2, 3, 4, 5], chunks: 2, prefix: [9], filler: 9, keyValues: .concatenated,
                sequentialPositions: true),
            try ChunkPlan(context: [1, 2, 3, 4, 5], chunks: 2, filler: 9, keyValues: .full),
        ]
        for other in others { #expect(throws: InputError.self) { try load(other, "abc") } }
        #expect(throws: InputError.self) {
            try fixture.model.compose(ReadRows(rows: [], whole: nil), plan: plan, type: .concatenatedSoup)
        }
    }

    @Test func aHashTellsContentsApart() {
        func hash(_ pieces: [[UInt8]]) -> String {
            var hash = ContentHash()
            for piece in pieces { piece.withUnsafeBytes { hash.add($0) } }
            return hash.text
        }
        let base = (0..<100).map { UInt8($0) }
        var seen: Set<String> = [hash([base])]
        for i in base.indices {
            for bit in [UInt8(1), 128] {
                var other = base
                other[i] ^= bit
                #expect(seen.insert(hash([other])).inserted)
            }
        }
        for cut in 1..<100 { #expect(seen.insert(hash([Array(base[..<cut]), Array(base[cut...])])).inserted) }
        #expect(seen.insert(hash([base, []])).inserted && seen.insert(hash([[], base])).inserted)
        #expect(hash([base]) == hash([base]) && hash([base]).count == 32)
    }
}
