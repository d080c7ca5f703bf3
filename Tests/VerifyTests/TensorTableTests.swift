import DualityCore
import DualityNumerics
import DualityReference
import Testing

@testable import DualityVerify

@Suite struct TensorTableTests {
    /// FIPS 180-4's own examples, and one longer than a block.
    @Test func sha256IsTheStandardOne() {
        func digest(_ text: String) -> String { Array(text.utf8).withUnsafeBytes { sha256($0) } }
        #expect(digest("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
        #expect(digest("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
        #expect(
            digest("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq")
                == "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1")
    }

    /// A shape of more elements than there are numbers is refused, also where its product wraps to
    /// 0.
    @Test(arguments: [[1 << 33, 1 << 33], [1 << 32, 1 << 32, 0], [-1, 4]]) func shapesThatOverflowAreRefused(
        shape: [Int]
    ) {
        var table = TensorTable(place: "memory")
        #expect(throws: InputError.self) { try table.add("v", dtype: .f32, shape: shape, bytes: []) }
    }

    @Test(arguments: [NumberFormat.f64, .f32, .bf16, .f16]) func numbersComeBackAsTheFormatHasThem(format: NumberFormat)
        throws
    {
        let values = [0, -0.0, 1, -1.5, 65504, 1e-7, 6e-8, 0.1, 3.14159, -2e-5, 1.0 / 3, 60000]
        var table = TensorTable(place: "memory")
        try table.add("v", Tensor(values), as: format)
        let read: Tensor<Double> = try table.tensor("v")
        #expect(read.elements == values.map { format.round($0) })
    }
}
