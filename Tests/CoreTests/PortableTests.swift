import Testing

@testable import DualityCore

/// Values as bytes: every bit comes back, and no other bytes are taken for a value.
@Suite struct PortableTests {
    private func back<Value: Portable>(_ value: Value) throws -> Value {
        try Value(portableBytes: value.portableBytes)
    }

    @Test func everyBitComesBack() throws {
        let payload = Double(bitPattern: 0xfff8_0000_0000_1234)
        for value in [0.0, -0.0, .infinity, -.infinity, .nan, -.nan, payload, .leastNonzeroMagnitude, 0.1, -1.5e308] {
            #expect(try back(value).bitPattern == value.bitPattern)
        }
        for value in [0, -1, .max, .min] { #expect(try back(value) == value) }
        #expect(try back(UInt64.max) == .max)
        for text in ["", "a", "é\u{0}\n", "𝄞", String(repeating: "x", count: 10_000)] {
            #expect(try back(text) == text)
        }
        #expect(try back([[1, 2], [], [3]]) == [[1, 2], [], [3]])
        #expect(try back([String]()) == [] && back([""]) == [""])
        #expect(try back(Int?.none) == nil && back(Int?(7)) == 7)
        #expect(try back([Double?.some(0), nil]) == [0, nil])
        let error = InputError(.notFinite, in: "a: b", expected: "c", found: "", remedy: "D.")
        #expect(try back(error) == error)
    }

    @Test func otherBytesAreRefused() throws {
        let bytes = [["a", "bc"], []].portableBytes
        for count in bytes.indices {
            let error = #expect(throws: InputError.self) { try [[String]](portableBytes: Array(bytes[..<count])) }
            #expect(error?.kind == .malformed)
        }
        #expect(throws: InputError.self) { try [[String]](portableBytes: bytes + [0]) }
        // Counts that no memory has, and what is neither yes nor no.
        for count in [UInt64.max, 1 << 62, 1 << 40] {
            #expect(throws: InputError.self) { try [Int](portableBytes: count.portableBytes) }
            #expect(throws: InputError.self) { try String(portableBytes: count.portableBytes) }
        }
        #expect(throws: InputError.self) { try Bool(portableBytes: 2.portableBytes) }
        #expect(throws: InputError.self) { try InputError.Kind(portableBytes: "nonsense".portableBytes) }
    }
}
