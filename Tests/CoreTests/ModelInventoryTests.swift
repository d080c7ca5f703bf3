import TestSupport
import Testing

@testable import DualityCore

@Suite struct ModelInventoryTests {
    /// A configuration with the sizes of the released 8B model.
    static let released = HybridConfiguration(
        vocabularySize: 151_936, hiddenSize: 4096, intermediateSize: 12288,
        layers: (0..<36).map { $0 % 2 == 0 ? .attention : .mamba2 }, headCount: 32, keyValueHeadCount: 8, headDim: 128,
        maxPositions: 131_072)

    @Test func theReleasedModelHasItsParametersAndBytes() throws {
        let inventory = ModelInventory(try WeightContract(Self.released))
        #expect(inventory.parameters == 8_495_712_960)
        #expect(inventory.bytes == 16_991_425_920)
        #expect(inventory.parts.map(\.component) == [.embedding, .attention, .mamba2, .feedForward, .norms, .head])
    }

    @Test func theReleasedModelHasItsCaches() {
        let short = Self.released.cacheSize(tokens: 1)
        #expect(short.keysAndValues == 36_864)
        #expect(short.state == 9_437_184)
        #expect(short.convolutionWindow == 18 * 6144 * 3)
        let long = Self.released.cacheSize(tokens: 1 << 17)
        #expect(long.keysAndValues * 2 == 9 << 30)
        #expect(long.state == short.state)
        #expect(long.bytes(keyValueBits: 16) == (9 << 30) + (36 << 20) + 4 * 18 * 6144 * 3)
    }

    @Test func bytesAreThoseOfTheFile() throws {
        let checkpoint = try Checkpoint(directory: Fixtures.path("models/m2_tied_noqknorm_f32"))
        let inventory = ModelInventory(try WeightContract(checkpoint.configuration), source: checkpoint)
        #expect(inventory.bytes == 4 * inventory.parameters)
        #expect(inventory.tensors == checkpoint.names.count)
        #expect(!inventory.parts.contains { $0.component == .attention || $0.component == .head })
    }
}
