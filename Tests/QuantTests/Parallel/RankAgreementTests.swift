//  What ranks compare before they work together: models, and the cases of campaigns.

import DualityCore
import Synchronization
import TestSupport
import Testing

@testable import DualityQuant

@Suite struct RankAgreementTests {
    /// Runs `body` on every rank and gives the results in their order.
    private func onEveryRank<Result: Sendable>(
        _ count: Int, _ body: @escaping @Sendable (any RankExchange) throws -> Result
    ) throws -> [Result] {
        let others = Mutex<[Int: Swift.Result<Result, any Error>]>([:])
        let first = try ThreadRanks.run(count) { exchange in
            Swift.Result { try body(exchange) }
        } other: { exchange in
            let result = Swift.Result { try body(exchange) }
            others.withLock { $0[exchange.rank] = result }
        }
        let found = others.withLock { $0 }
        return try [first.get()] + (1..<count).map { try #require(found[$0]).get() }
    }

    /// Every option that has tensors of its own.
    private static let models = [
        OddModel("M2 and attention, biased", [.mamba2, .attention]) {
            $0.attentionBias = true
            $0.mamba2.projectionBias = true
        },
        OddModel("GDN, biased", [.gatedDeltaNet]) {
            $0.gatedDeltaNet.convolutionBias = true
            $0.gatedDeltaNet.expansion.rank = 3
        },
        OddModel("GKA, expanded", [.gatedKalmaNet]) {
            $0.gatedKalmaNet.expansion.rank = 2
            $0.gatedKalmaNet.expansion.learnsResidual = true
        },
        OddModel("BMF of M2, untied", [.bmojo]) {
            $0.bmojo.tiesAttention = false
            $0.attentionBias = true
            $0.mamba2.convolutionBias = true
        },
        OddModel.plain("plain Mamba-2", groups: 2, gatedNormGroup: 12, 0...1),
    ]

    /// The last number of one tensor at a time.
    @Test(arguments: models) func oneNumberOfAnyTensorIsNoticed(odd: OddModel) throws {
        let checkpoint = try odd.checkpoint()
        func facts(_ checkpoint: RandomCheckpoint) throws -> [String] {
            let options = QuantOptions(.f32, pool: ThreadPool(threads: 1))
            return try QuantModel(checkpoint, configuration: odd.configuration, options: options).rankFacts.map(\.value)
        }
        let own = try facts(checkpoint)
        #expect(try facts(odd.checkpoint()) == own)
        // Matrices are compared by samples, which a bit of one shows as well as of all.
        let isMatrix = { (name: String) in (checkpoint.find(name)?.shape.count ?? 0) == 2 && !name.hasSuffix("_rep") }
        let matrix = try #require(checkpoint.names.last(where: isMatrix))
        for name in checkpoint.names where !isMatrix(name) || name == matrix {
            var other = checkpoint
            var tensor: Tensor<Float> = try checkpoint.tensor(name)
            tensor.elements[tensor.elements.count - 1] += 0.5
            other.set(name, tensor.shape, tensor.elements)
            #expect(try facts(other) != own, "\(name)")
        }
    }

    @Test func theRankAndThePartAreNamedOnEveryRank() throws {
        let odd = OddModel("M2", [.mamba2])
        let (whole, other) = (try odd.fast(), try odd.fast(.bf16))
        for odd in 1...2 {
            let errors = try onEveryRank(3) { exchange -> InputError? in
                let model = exchange.rank == odd ? other : whole
                do throws(InputError) { try model.requireSameModel(on: exchange) } catch { return error }
                return nil
            }
            #expect(errors.map { $0?.place } == Array(repeating: "rank \(odd): formats", count: 3))
            #expect(errors[0]?.found.contains("bf16") == true)
        }
        #expect(try onEveryRank(3) { try whole.requireSameModel(on: $0) }.count == 3)
        let errors = try onEveryRank(2) { exchange -> InputError? in
            do throws(InputError) {
                try whole.requireSameModel(on: exchange, stages: exchange.rank == 0 ? 1 : 2)
            } catch { return error }
            return nil
        }
        #expect(errors.map { $0?.place } == Array(repeating: "rank 1: cut of the model", count: 2))
        #expect(errors[1]?.found.contains("--pipeline-parallel") == true)
    }

    /// An empty fact is one too, and facts that one rank does not have are a difference.
    @Test func factsAreComparedOneByOne() throws {
        func difference(_ first: [String], _ second: [String]) throws -> [String?] {
            try onEveryRank(2) { exchange in
                let facts = (exchange.rank == 0 ? first : second).enumerated().map { ("fact \($0)", $1) }
                do throws(InputError) { try exchange.requireSame(facts) } catch { return error.place }
                return nil
            }
        }
        #expect(try difference(["", "a", ""], ["", "a", ""]) == [nil, nil])
        #expect(try difference(["", "a", ""], ["", "a", "b"]) == ["rank 1: fact 2", "rank 1: fact 2"])
        #expect(try difference(["a", "", "c"], ["a", "b", "c"]) == ["rank 1: fact 1", "rank 1: fact 1"])
        #expect(try difference(["a"], ["a", "b"]) == ["rank 1: version", "rank 1: version"])
        #expect(try difference([], ["a"]).allSatisfy { $0?.hasPrefix("rank 1") == true })
    }

    @Test func aCampaignsNumbersLieInTheOrderOfItsCases() throws {
        let numbers = (0..<7).map { Double($0) * 1.25 }
        for count in [1, 2, 3] {
            let found = try onEveryRank(count) { exchange in
                let share = CaseShare(exchange)
                return try share.combined(numbers.indices.map { share.isOwn($0) ? numbers[$0] : 0 })
            }
            #expect(found == Array(repeating: numbers, count: count), "\(count) ranks")
        }
    }

    @Test(arguments: [[], [5], [0, 0], [1, 1, 1, 1, 1], [100, 1, 1, 1], [1, 1, 1, 100], [3, 1, 4, 1, 5, 9, 2, 6]])
    func everyCaseIsOfOnePart(costs: [Int]) throws {
        for count in 1...4 {
            let parts = try onEveryRank(count) { CaseShare($0).part(costs) }
            #expect(parts.flatMap(Array.init) == Array(costs.indices), "\(parts)")
            let most = parts.map { costs[$0].reduce(0, +) }.max() ?? 0
            #expect(most <= costs.reduce(0, +) / count + (costs.max() ?? 0), "\(parts)")
        }
    }

    @Test func whatRanksSayArrives() throws {
        let lines = [["a", "", "b c"], [], ["é"]]
        let found = try onEveryRank(3) { exchange in
            let share = CaseShare(exchange)
            return (share.gathered(lines[exchange.rank]), share.fromFirst(exchange.rank == 0 ? [7, -1] : []))
        }
        #expect(found.allSatisfy { $0.0 == lines && $0.1 == [7, -1] })
        #expect(try onEveryRank(2) { CaseShare($0).fromFirst([]) } == [[], []])
    }

    @Test func ranksWithOtherNumbersOfCasesAreRefused() throws {
        for lengths in [[5, 4], [4, 5], [3, 3, 0]] {
            let errors = try onEveryRank(lengths.count) { exchange -> InputError? in
                let numbers = [Double](repeating: 1, count: lengths[exchange.rank])
                do throws(InputError) { _ = try CaseShare(exchange).combined(numbers) } catch { return error }
                return nil
            }
            #expect(errors.allSatisfy { $0?.place == "rank \(lengths.count - 1)" && $0?.kind == .shape })
        }
    }

    /// What ends the ranks must not keep the weights of the model.
    @Test func theEndOfRanksHoldsNoModel() throws {
        let odd = OddModel("M2", [.mamba2])
        let pool = ThreadPool(threads: 1)
        weak var kept: WorkspacePool?
        let end = try ThreadRanks.run(2) { exchange in
            let model = try odd.fast().on(pool).cut(exchange)
            kept = model.workspaces
            let end = model.endOfRanks
            defer { end?() }
            return end
        } other: { exchange in
            try? odd.fast().cut(exchange).follow()
        }
        #expect(kept == nil)
        // A second end is none.
        end?()
        #expect(try odd.fast().endOfRanks == nil)
    }
}
