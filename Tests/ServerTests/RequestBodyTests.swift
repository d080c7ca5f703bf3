import DualityCore
import DualityServer
import Testing

/// The JSON of requests is read strictly.
@Suite struct RequestBodyTests {
    private func code(_ text: String) -> RequestError.Code? {
        code(Array(text.utf8))
    }

    private func code(_ bytes: [UInt8]) -> RequestError.Code? {
        do throws(RequestError) {
            _ = try RequestBody.object(bytes)
            return nil
        } catch {
            return error.code
        }
    }

    @Test(arguments: [
        "", "{", "[1]", "1", "null", "{}{}", "{} x", #"{"a": NaN}"#, #"{"a": -Infinity}"#, #"{"a": 1e999}"#,
        #"{"a": 1, "a": 2}"#, #"{"a": {"b": 1, "b": 1}}"#, #"{"a": "\ud800"}"#, #"{"a": "\udc00x"}"#, #"{"a": 01}"#,
        #"{"a": +1}"#, #"{'a': 1}"#, #"{"a": 1,}"#, #"{"a": tru}"#, "{\"a\": \"\n\"}", "\u{feff}{}",
    ])
    func whatIsNoObjectIsRefused(text: String) {
        #expect(code(text) == .invalidJSON, "\(text)")
    }

    @Test func bytesThatAreNotUTF8AreRefused() {
        for bytes: [UInt8] in [[0xff], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0xf5, 0x80, 0x80, 0x80], [0xe2, 0x82]] {
            #expect(code(Array(#"{"a": ""#.utf8) + bytes + Array(#""}"#.utf8)) == .invalidJSON, "\(bytes)")
        }
    }

    @Test func levelsAreBounded() {
        func nested(_ levels: Int) -> String {
            #"{"a":"# + String(repeating: "[", count: levels - 1) + String(repeating: "]", count: levels - 1) + "}"
        }
        #expect(code(nested(RequestBody.depthLimit)) == nil)
        #expect(code(nested(RequestBody.depthLimit + 1)) == .invalidJSON)
        #expect(code(String(repeating: "[", count: 100_000)) == .invalidJSON)
    }

    @Test func objectsAreAccepted() {
        for text in ["{}", #" {"a": [1, 2.5e-3, "😀 \ud83d\ude00", null, true]} "#] {
            #expect(code(text) == nil, "\(text)")
        }
    }

    @Test(arguments: [
        ("7", 7), ("-7", -7), ("7.0", 7), ("0.7e1", 7), ("700e-2", 7), ("0", 0), ("-0.0", 0), ("0e99", 0),
        ("1e3", 1000),
        ("9223372036854775807", Int.max), ("-9223372036854775808", Int.min), ("9223372036854775807.0", Int.max),
        ("9.223372036854775807e18", Int.max), ("1E18", 1_000_000_000_000_000_000),
    ])
    func aNumberWithoutAFractionIsAnInteger(literal: String, value: Int) {
        #expect(RequestBody.integer(literal) == value)
    }

    @Test(arguments: [
        "7.5", "1e-1", "9223372036854775808", "-9223372036854775809", "1e19", "1e400", "123456789012345678901",
    ])
    func otherNumbersAreNone(literal: String) {
        #expect(RequestBody.integer(literal) == nil)
    }
}
