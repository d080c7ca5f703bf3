import DualityCore
import Testing

@Suite struct TensorDictionaryTests {
    @Test func readsBackWhatItHolds() throws {
        let tensor = try Tensor<Float>(shape: [2, 3], elements: [1, -2, 0.5, 3, .leastNonzeroMagnitude, -0.0])
        let source = TensorDictionary(["a": tensor, "b": Tensor([4])])
        #expect(source.names == ["a", "b"])
        #expect(source.find("a")?.shape == [2, 3])
        #expect(source.find("a")?.byteCount == 24)
        #expect(try source.tensor("a", as: Float.self) == tensor)
        #expect(try source.tensor("b", as: Double.self) == Tensor([4]))
        #expect(try TensorDictionary(reading: source) == source)
    }

    @Test func namesTheNearestTensorWhenOneIsMissing() {
        #expect {
            try TensorDictionary(["weight": Tensor([1])]).tensor("wieght", as: Float.self)
        } throws: { error in
            (error as? InputError)?.kind == .missing && "\(error)".contains("weight")
        }
    }
}
