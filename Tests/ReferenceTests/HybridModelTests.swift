//  Whole models against the official implementation (Tests/Fixtures/models) and against their own
//  invariants.

import DualityCore
import Foundation
import TestSupport
import Testing

@testable import DualityReference

/// Everything a pass shows on its way.
private final class Recorder<Scalar: RealNumber> {
    var tensors: [String: Tensor<Double>] = [:]

    func record(_ observation: HybridModel<Scalar>.Observation) {
        switch observation {
        case .layer(let i, .mixerInput(let u)): tensors["hidden.layer_\(i).mixer_in"] = u.converted()
        case .layer(let i, .output(let h)): tensors["hidden.after_layer_\(i)"] = h.converted()
        case .layer(_, .scanInputs): break
        case .finalNorm(let h): tensors["hidden.final_norm"] = h.converted()
        }
    }
}

@Suite struct HybridModelTests {
    @Test(arguments: models) func logitsInDoubleAreTheOfficialOnes(name: String) throws {
        let fixture = try ModelCase(name)
        let model = try fixture.model(Double.self)
        var cache = model.makeCache()
        let recorder = Recorder<Double>()
        let logits = try model.extend(&cache, by: fixture.ids("input_ids"), observe: recorder.record)
        let error = relativeL2(logits.elements, try fixture.tensor("logits_f64").elements)
        let limit = try fixture.doubleLimit("logits_f64")
        #expect(error < limit, "logits: relative L2 error \(error), limit \(limit)")
        guard fixture.hasDetails else { return }
        try compareHidden(recorder.tensors, fixture) { try fixture.doubleLimit($0) }
        // The stored prefill caches come from the official float32 run: ours is off by as much as
        // that is.
        try compare(cache, fixture, "cache") { try fixture.floatLimit($0) / 2 }
    }

    @Test(arguments: models) func logitsInFloatAreAsCloseAsTheOfficialFloat32(name: String) throws {
        let fixture = try ModelCase(name)
        let model = try fixture.model(Float.self)
        var cache = model.makeCache()
        let recorder = Recorder<Float>()
        let logits = try model.extend(&cache, by: fixture.ids("input_ids"), observe: recorder.record)
        let error = relativeL2(logits.elements, try fixture.tensor("logits_f64").elements)
        let limit = try fixture.floatLimit("logits")
        #expect(error < limit, "logits: relative L2 error \(error), limit \(limit)")
        guard fixture.hasDetails else { return }
        // The official run's distance after the last norm is not stored; that of the logits, one
        // product later, is.
        try compareHidden(recorder.tensors, fixture) {
            try fixture.floatLimit($0 == "hidden.final_norm" ? "logits" : $0)
        }
        // Both runs are float32 here, each at its own distance from the truth.
        try compare(cache, fixture, "cache") { 2 * (try fixture.cacheLimit($0, tokens: cache.tokenCount)) }
    }

    @Test(arguments: detailedModels) func theLongInputAgrees(name: String) throws {
        let fixture = try ModelCase(name)
        let rows = try fixture.ids("long_positions")
        let expected = try fixture.tensor("logits_long_f64").elements
        let double = try longLogits(fixture, rows, Double.self)
        let float = try longLogits(fixture, rows, Float.self)
        let (doubleError, floatError) = (relativeL2(double, expected), relativeL2(float, expected))
        let (doubleLimit, floatLimit) = (
            try fixture.doubleLimit("logits_long_f64"), try fixture.floatLimit("logits_long")
        )
        #expect(doubleError < doubleLimit, "Double: relative L2 error \(doubleError), limit \(doubleLimit)")
        #expect(floatError < floatLimit, "Float: relative L2 error \(floatError), limit \(floatLimit)")
    }

    @Test(arguments: models) func greedyDecodingGivesTheOfficialTokens(name: String) throws {
        let fixture = try ModelCase(name)
        try compareGreedy(fixture, Double.self) { try fixture.doubleLimit($0) }
        try compareGreedy(fixture, Float.self) { _ in try fixture.floatLimit("greedy_logits") }
    }

    @Test(arguments: models) func splittingThePromptAnywhereChangesNothing(name: String) throws {
        let fixture = try ModelCase(name)
        let model = try fixture.model(Double.self)
        let ids = try fixture.ids("input_ids")
        var whole = model.makeCache()
        let expected = try model.extend(&whole, by: ids)
        var random = RandomSource(seed: 17)
        // KalmaNet solves a system a token, so it is split at fewer places.
        var splits = stride(from: 1, to: ids.count, by: name == "gka" ? 5 : 1).map { [$0, ids.count - $0] }
        splits.append(Array(repeating: 1, count: ids.count))
        for _ in 0..<(name == "gka" ? 3 : 10) {
            var pieces: [Int] = []
            while pieces.reduce(0, +) < ids.count {
                pieces.append(min(random.integer(in: 1...9), ids.count - pieces.reduce(0, +)))
            }
            splits.append(pieces)
        }
        var worst = (error: 0.0, pieces: [Int]())
        for pieces in splits {
            var (cache, first, logits) = (model.makeCache(), 0, [Double]())
            for length in pieces {
                logits += try model.extend(&cache, by: Array(ids[first..<first + length])).elements
                first += length
            }
            #expect(cache.tokenCount == ids.count)
            let error = maximumDifference(logits, expected.elements)
            if error > worst.error { worst = (error, pieces) }
        }
        #expect(worst.error < 1e-11, "largest change of a logit \(worst.error), pieces \(worst.pieces)")
    }

    @Test func everyFormGivesTheSameLogits() throws {
        let fixture = try ModelCase("m2")
        var model = try fixture.model(Double.self)
        let expected = try fixture.tensor("logits_f64").elements
        for form in [SSDForm.recurrent, .chunked(size: 1), .chunked(size: 16), .chunked(size: 256), .quadratic] {
            try model.useForm(form)
            var cache = model.makeCache()
            let logits = try model.extend(&cache, by: fixture.ids("input_ids"))
            let error = relativeL2(logits.elements, expected)
            #expect(error < 1e-10, "\(form): relative L2 error \(error)")
        }
    }

    @Test func theEmbeddedModelMatchesItsReference() throws {
        let checkpoint = try Checkpoint(directory: Fixtures.embeddedModel)
        let expected = try SafetensorsFile(path: Fixtures.embeddedModel + "/reference/logits.safetensors")
        let figures = try JSON(contentsOf: Fixtures.embeddedModel + "/reference/logits.json")
        let double = try HybridModel<Double>(checkpoint, configuration: checkpoint.configuration)
        let float = try HybridModel<Float>(checkpoint, configuration: checkpoint.configuration)
        for name in ["prose", "chat"] {
            let ids = try expected.integers("\(name).input_ids").elements
            let logits: Tensor<Double> = try expected.tensor("\(name).logits")
            var (doubleCache, floatCache) = (double.makeCache(), float.makeCache())
            let doubleError = relativeL2(try double.extend(&doubleCache, by: ids).elements, logits.elements)
            let floatError = relativeL2(try float.extend(&floatCache, by: ids).elements, logits.elements)
            let official = try #require(figures["inputs"]?[name]?["f32_vs_f64_rel_l2"]?.double)
            #expect(doubleError < 3e-7, "\(name), Double: relative L2 error \(doubleError)")
            #expect(floatError < 3 * official, "\(name), Float: relative L2 error \(floatError), official \(official)")
        }
    }

    @Test func theEmbeddedModelDecodesItsReferenceTexts() throws {
        let checkpoint = try Checkpoint(directory: Fixtures.embeddedModel)
        let model = try HybridModel<Float>(checkpoint, configuration: checkpoint.configuration)
        let greedy = try JSON(contentsOf: Fixtures.embeddedModel + "/reference/greedy.json")
        for item in try #require(greedy["cases"]?.array) {
            let prompt = try #require(item["prompt_ids"]?.array).compactMap(\.int)
            let expected = try #require(item["greedy_ids"]?.array).compactMap(\.int)
            var cache = model.makeCache()
            var logits = try model.extend(&cache, by: prompt, logits: .last)
            var got: [Int] = []
            while got.count < expected.count {
                got.append(argmax(logits.elements[...]))
                logits = try model.extend(&cache, by: [got.last!], logits: .last)
            }
            #expect(got == expected)
        }
    }

    // MARK: the comparisons

    private func longLogits<Scalar: RealNumber>(_ fixture: ModelCase, _ rows: [Int], _ type: Scalar.Type) throws
        -> [Double]
    {
        let model = try fixture.model(Scalar.self)
        var cache = model.makeCache()
        let logits: Tensor<Double> = try model.extend(&cache, by: fixture.ids("input_ids_long")).converted()
        return rows.flatMap { logits.rows($0..<$0 + 1).elements }
    }

    private func compareHidden(
        _ hidden: [String: Tensor<Double>], _ fixture: ModelCase, limit: (String) throws -> Double
    ) throws {
        for name in fixture.expected.names where name.hasPrefix("hidden.") && !name.hasSuffix("mixer_in") {
            let got = try #require(hidden[name])
            let error = relativeL2(got.elements, try fixture.tensor(name).elements)
            let limit = try limit(name)
            #expect(error < limit, "\(name): relative L2 error \(error), limit \(limit)")
        }
    }

    private func compare<Scalar: RealNumber>(
        _ cache: HybridCache<Scalar>, _ fixture: ModelCase, _ prefix: String, limit: (String) throws -> Double
    ) throws {
        var compared = 0
        for (i, layer) in cache.layers.enumerated() {
            var tensors: [(String, [Double], [Double])] = []
            func add(_ name: String, _ got: [Double], _ expected: ((Tensor<Double>) -> [Double]) = { $0.elements })
                throws
            {
                let full = "\(prefix).layers.\(i).\(name)"
                guard fixture.expected.contains(full) else { return }
                tensors.append((full, got, expected(try fixture.tensor(full))))
            }
            if let keyValues = layer.keyValues {
                try add("keys", keyValues.keys.flatMap(\.elements).map(\.double))
                try add("values", keyValues.values.flatMap(\.elements).map(\.double))
            }
            if let scan = layer.scan {
                try add("ssm_state", scan.state.elements.map(\.double))
                try add("log_aprods", scan.logDecay)
                try add("conv_state", scan.window.elements.map(\.double), officialWindows)
            }
            for (name, got, expected) in tensors {
                let (error, limit) = (relativeL2(got, expected), try limit(name))
                #expect(error < limit, "\(name): relative L2 error \(error), limit \(limit)")
                compared += 1
            }
        }
        #expect(compared > 0, "no tensor of \(prefix) was compared")
    }

    private func compareGreedy<Scalar: RealNumber>(
        _ fixture: ModelCase, _ type: Scalar.Type, limit: (String) throws -> Double
    ) throws {
        let model = try fixture.model(Scalar.self)
        let expected = try fixture.ids("greedy_ids")
        var cache = model.makeCache()
        var logits = try model.extend(&cache, by: fixture.ids("input_ids"), logits: .last)
        var (got, rows): ([Int], [Double]) = ([], [])
        while got.count < expected.count {
            rows += logits.elements.map(\.double)
            got.append(argmax(logits.elements[...]))
            logits = try model.extend(&cache, by: [got.last!], logits: .last)
        }
        #expect(got == expected, "\(Scalar.name)")
        guard fixture.hasDetails else { return }
        let stored = try fixture.tensor("greedy_logits_f64")
        let error = relativeL2(Array(rows.suffix(stored.count)), stored.elements)
        let limit = try limit("greedy_logits_f64")
        #expect(error < limit, "\(Scalar.name): greedy logits, relative L2 error \(error), limit \(limit)")
        if fixture.expected.names.contains(where: { $0.hasPrefix("cache_end.") }) {
            try compare(cache, fixture, "cache_end") { name in
                let official = name.replacingOccurrences(of: "cache_end", with: "cache")
                return Scalar.self == Double.self
                    ? 3e-7 : try fixture.cacheLimit(official, tokens: cache.tokenCount)
            }
        }
    }
}

/// The index of the largest number; the first of equals.
private func argmax<Scalar: RealNumber>(_ values: ArraySlice<Scalar>) -> Int {
    var best = values.startIndex
    for i in values.indices where values[i] > values[best] { best = i }
    return best - values.startIndex
}
