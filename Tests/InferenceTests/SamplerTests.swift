import DualityCore
import DualityInference
import Foundation
import TestSupport
import Testing

@Suite struct SamplerTests {
    private func parameters(_ change: (inout SamplingParameters) -> Void) -> SamplingParameters {
        var parameters = SamplingParameters()
        change(&parameters)
        return parameters
    }

    /// How often each token is drawn, of `count` independent draws.
    private func frequencies(_ logits: [Float], _ parameters: SamplingParameters, count: Int = 4000) throws -> [Double]
    {
        var sampler = Sampler(parameters)
        var found = [Double](repeating: 0, count: logits.count)
        for _ in 0..<count { found[try sampler.next(logits: logits, history: [])] += 1 / Double(count) }
        return found
    }

    private func softmax(_ logits: [Double]) -> [Double] {
        let weights = logits.map { exp($0) }
        let total = weights.reduce(0, +)
        return weights.map { $0 / total }
    }

    /// Four standard deviations of a frequency over 4000 draws are at most 0.032.
    private func isNear(_ a: [Double], _ b: [Double]) -> Bool {
        zip(a, b).allSatisfy { abs($0 - $1) < 0.032 }
    }

    @Test func greedyTakesTheFirstOfTheLargest() throws {
        var sampler = Sampler(.greedy)
        #expect(try sampler.next(logits: [1, 3, 2, 3], history: []) == 1)
        #expect(try sampler.next(logits: [-.infinity, -5], history: []) == 1)
        #expect(try sampler.next(logits: [0, -0.0], history: []) == 0)
        #expect(try sampler.next(logits: [-0.0, 0], history: []) == 0)
    }

    @Test(arguments: [0.5, 1, 2]) func frequenciesAreThoseOfTheSoftmax(temperature: Double) throws {
        let logits: [Float] = [1, -1, 0.5, 2, -.infinity]
        let found = try frequencies(logits, parameters { $0.temperature = temperature })
        let expected = softmax(logits.map { Double($0) / temperature })
        #expect(isNear(found, expected), "\(found), expected \(expected)")
    }

    @Test func topKKeepsTheKLargestAndRenormalizes() throws {
        let found = try frequencies([0, 3, 1, 2, 2.5], parameters { $0.topK = 2 })
        let kept = softmax([3, 2.5])
        #expect(isNear(found, [0, kept[0], 0, 0, kept[1]]), "\(found)")
    }

    @Test func ofEqualLogitsTopKKeepsTheLowerTokens() throws {
        let found = try frequencies([1, 2, 2, 2, 2], parameters { $0.topK = 3 })
        #expect(found[0] == 0 && found[4] == 0 && found[1] > 0 && found[3] > 0, "\(found)")
    }

    @Test func topKOfOneIsGreedy() throws {
        var random = RandomSource(seed: 2)
        var one = Sampler(parameters { $0.topK = 1 })
        var greedy = Sampler(.greedy)
        for _ in 0..<200 {
            let logits = (0..<30).map { _ in Float(random.integer(in: -3...3)) }
            #expect(try one.next(logits: logits, history: []) == greedy.next(logits: logits, history: []))
        }
    }

    /// The probabilities are 0.5, 0.25, 0.15, 0.1: which tokens are left for a given p.
    @Test(arguments: [(0.3, 1), (0.5, 1), (0.51, 2), (0.75, 2), (0.76, 3), (0.9, 3), (0.91, 4), (1, 4)])
    func topPKeepsTheFewestThatReachIt(topP: Double, count: Int) throws {
        let probabilities = [0.25, 0.1, 0.5, 0.15]
        // A hair below, so that rounding cannot push a sum past the limit.
        let found = try frequencies(probabilities.map { Float(log($0)) }, parameters { $0.topP = topP - 1e-6 })
        let order = [2, 0, 3, 1]
        #expect(found.filter { $0 > 0 }.count == count, "\(found)")
        #expect(order.prefix(count).allSatisfy { found[$0] > 0 }, "\(found)")
    }

    @Test func topPActsOnWhatTopKLeaves() throws {
        // Of 0.4, 0.3, 0.2, 0.1 the first two are left and become 0.57, 0.43: 0.5 is reached by the
        // first alone.
        let logits = [0.4, 0.3, 0.2, 0.1].map { Float(log($0)) }
        let found = try frequencies(
            logits,
            parameters {
                $0.topK = 2
                $0.topP = 0.5
            })
        #expect(found[1...].allSatisfy { $0 == 0 }, "\(found)")
    }

    @Test func minPComparesWithTheLargest() throws {
        let logits = [0.5, 0.3, 0.15, 0.05].map { Float(log($0)) }
        let found = try frequencies(logits, parameters { $0.minP = 0.2 })
        #expect(isNear(found, [0.5 / 0.95, 0.3 / 0.95, 0.15 / 0.95, 0]), "\(found)")
        #expect(try frequencies(logits, parameters { $0.minP = 1 })[0] > 0.999)
    }

    /// Filters never leave another set than sorting everything would.
    @Test func theFiltersAreThoseOfASortedDistribution() throws {
        var random = RandomSource(seed: 77)
        for round in 0..<300 {
            let logits = (0..<random.integer(in: 1...40)).map { _ in Float(random.uniform(in: -4...4)) }
            let chosen = parameters {
                $0.temperature = random.uniform(in: 0.3...2)
                $0.topK = random.integer(in: 0...20)
                $0.topP = random.integer(in: 0...1) == 0 ? 1 : random.uniform(in: 0.05...0.999)
                $0.minP = random.integer(in: 0...1) == 0 ? 0 : random.uniform(in: 0...0.5)
                $0.seed = UInt64(round)
            }
            let order = logits.indices.sorted { logits[$0] > logits[$1] }
            var kept = Array(chosen.topK > 0 ? order.prefix(chosen.topK) : order[...])
            var weights = softmax(kept.map { Double(logits[$0]) / chosen.temperature })
            var reached = 0.0
            let nucleus = weights.firstIndex { weight in
                reached += weight
                return reached >= chosen.topP
            }
            kept = Array(kept.prefix((nucleus ?? kept.count - 1) + 1))
            weights = Array(weights.prefix(kept.count))
            kept = zip(kept, weights).filter { $1 >= chosen.minP * weights[0] }.map(\.0)
            var sampler = Sampler(chosen)
            for _ in 0..<20 {
                let token = try sampler.next(logits: logits, history: [])
                #expect(kept.contains(token), "\(chosen): \(token) is not in \(kept)")
            }
        }
    }

    @Test func repetitionPenaltyMovesTokensOfTheHistoryTowardsUnlikely() throws {
        var sampler = Sampler(
            parameters {
                $0.temperature = 0
                $0.repetitionPenalty = 2
            })
        #expect(try sampler.next(logits: [3, 2, -1], history: []) == 0)
        #expect(try sampler.next(logits: [3, 2, -1], history: [0, 0]) == 1)  // 1.5 < 2
        #expect(try sampler.next(logits: [-1, -1.5, -3], history: [0, 0, 0]) == 1)  // -2 < -1.5
        #expect(try sampler.next(logits: [5, 2, -1], history: [0, 0, 0, 0]) == 0)  // counts once
    }

    @Test func presenceAndFrequencyCountWhatTheSamplerDrew() throws {
        var sampler = Sampler(
            parameters {
                $0.temperature = 0
                $0.presencePenalty = 1
                $0.frequencyPenalty = 0.25
            })
        let logits: [Float] = [3, 2, 0.4]
        // The prompt does not count.
        var history = [0, 0, 0, 0]
        var drawn: [Int] = []
        for _ in 0..<8 {
            let token = try sampler.next(logits: logits, history: history)
            history.append(token)
            drawn.append(token)
        }
        // Token 0 falls from 3 to 1.75 and by 0.25 a time, token 1 from 2 to 0.75.
        #expect(drawn == [0, 1, 0, 0, 0, 0, 0, 1], "\(drawn)")
    }

    @Test func aBiasCanForceAndForbid() throws {
        var forced = Sampler(
            parameters {
                $0.temperature = 0
                $0.logitBias = [2: 100]
            })
        #expect(try forced.next(logits: [3, 2, 1], history: []) == 2)
        let found = try frequencies([3, 2, 1], parameters { $0.logitBias = [0: -.infinity] })
        #expect(found[0] == 0, "\(found)")
    }

    @Test func theSameSeedDrawsTheSameTokens() throws {
        let logits = (0..<50).map { Float(sin(Double($0))) }
        func draw(_ seed: UInt64) throws -> [Int] {
            var sampler = Sampler(parameters { $0.seed = seed })
            return try (0..<40).map { _ in try sampler.next(logits: logits, history: []) }
        }
        #expect(try draw(1) == draw(1))
        #expect(try draw(1) != draw(2))
    }

    @Test func extremesAreDrawnWithoutNaN() throws {
        for logits in [[1e38, -1e38, 3e38], [-3e38, -3e38], [0], [88, 89, .leastNonzeroMagnitude]] as [[Float]] {
            for temperature in [1e-12, 1, 1e12] {
                var sampler = Sampler(parameters { $0.temperature = temperature })
                #expect(logits.indices.contains(try sampler.next(logits: logits, history: [])))
            }
        }
        var cold = Sampler(parameters { $0.temperature = 1e-300 })
        #expect(try cold.next(logits: [1, 2, 1.9999999], history: []) == 1)
    }

    @Test(arguments: [5e-300, 1e-308, 1e-38, 1e38, 1e308]) func penaltiesStopAtTheEndsOfFloat32(penalty: Double) throws
    {
        for temperature in [0, 1e-308, 1, 1e308] {
            var sampler = Sampler(
                parameters {
                    $0.repetitionPenalty = penalty
                    $0.temperature = temperature
                })
            // What raises tokens above all others draws one of them, what lowers them draws none.
            let token = try sampler.next(logits: [3, -2, 0, -.infinity, 1, 1], history: [0, 1, 2, 3])
            let forbidden = penalty < 1 && temperature < 1e308 ? 1...5 : 3...3
            #expect(!forbidden.contains(token), "\(penalty) \(temperature): \(token)")
        }
    }

    @Test func brokenLogitsAreReported() {
        for (logits, kind) in [
            ([1, .nan, 2], InputError.Kind.notFinite), ([1, .infinity], .notFinite), ([-.infinity], .value),
            ([], .value),
        ] as [([Float], InputError.Kind)] {
            var sampler = Sampler(SamplingParameters())
            let error = #expect(throws: InputError.self) { try sampler.next(logits: logits, history: []) }
            #expect(error?.kind == kind, "\(logits)")
        }
    }

    @Test func parametersOutOfRangeAreNamed() {
        func check(_ name: String, _ change: (inout SamplingParameters) -> Void) {
            let error = #expect(throws: InputError.self) { try parameters(change).validate(vocabularySize: 10) }
            #expect(error?.kind == .value)
            #expect(error?.place == name)
        }
        check("temperature") { $0.temperature = -0.1 }
        check("temperature") { $0.temperature = .nan }
        check("temperature") { $0.temperature = .infinity }
        check("top_k") { $0.topK = -1 }
        check("top_p") { $0.topP = 0 }
        check("top_p") { $0.topP = 1.1 }
        check("top_p") { $0.topP = .nan }
        check("min_p") { $0.minP = -1 }
        check("min_p") { $0.minP = 1.01 }
        check("repetition_penalty") { $0.repetitionPenalty = 0 }
        check("presence_penalty") { $0.presencePenalty = .nan }
        check("frequency_penalty") { $0.frequencyPenalty = .infinity }
        check("logit_bias") { $0.logitBias = [-1: 0] }
        check("logit_bias") { $0.logitBias = [10: 0] }
        check("logit_bias of token 1") { $0.logitBias = [1: .nan] }
    }
}
