//  The seeds are right, every input that was ever found is answered, and a few mutations of each
//  seed too. `make fuzz` looks for more.

import DualityCore
import DualityFuzz
import Foundation
import TestSupport
import Testing

struct FuzzTests {
    @Test(arguments: FuzzTarget.allCases)
    func seedsAreRead(_ target: FuzzTarget) throws {
        let folder = try FuzzFolder()
        let seeds = try FuzzSeeds.seeds(of: target)
        #expect(!seeds.isEmpty)
        for seed in seeds { try target.run(seed, in: folder) }
    }

    @Test(arguments: FuzzTarget.allCases)
    func foundInputsAreAnswered(_ target: FuzzTarget) throws {
        let folder = try FuzzFolder()
        let corpus = Fixtures.package.appendingPathComponent("Tests/Fuzz/found/\(target.rawValue)")
        let files = (try? FileManager.default.contentsOfDirectory(at: corpus, includingPropertiesForKeys: nil)) ?? []
        for file in files { target.survives([UInt8](try Data(contentsOf: file)), in: folder) }
    }

    @Test(arguments: FuzzTarget.allCases)
    func mutationsAreAnswered(_ target: FuzzTarget) throws {
        let folder = try FuzzFolder()
        var random = RandomSource(seed: 7).stream(target.rawValue)
        for seed in try FuzzSeeds.seeds(of: target) where !seed.isEmpty {
            for input in [[], Array(seed.prefix(seed.count / 2)), seed + seed] { target.survives(input, in: folder) }
            for _ in 0..<12 {
                var input = seed
                for _ in 0...random.integer(in: 0...(4) - 1) { mutate(&input, &random) }
                target.survives(input, in: folder)
            }
        }
    }

    /// One change of the kinds that break readers: a byte, digits, a part left out or twice.
    private func mutate(_ input: inout [UInt8], _ random: inout RandomSource) {
        guard !input.isEmpty else { return }
        let at = random.integer(in: 0...(input.count) - 1)
        let count = min(1 + random.integer(in: 0...(9) - 1), input.count - at)
        switch random.integer(in: 0...(4) - 1) {
        case 0: input[at] ^= 1 << UInt8(random.integer(in: 0...(8) - 1))
        case 1: input.replaceSubrange(at..<at + count, with: Array("9223372036854775808".utf8))
        case 2: input.removeSubrange(at..<at + count)
        default: input.insert(contentsOf: input[at..<at + count], at: at)
        }
    }
}
