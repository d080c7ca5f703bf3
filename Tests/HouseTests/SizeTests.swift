import Foundation
import Testing

/// A file is one idea, a function one step, a folder one room.
@Suite struct SizeTests {
    @Test func noFileIsLongerThanThreeHundredLines() throws {
        let files =
            Checkout.files(below: "Sources", ending: [".swift", ".c", ".h", ".inc"])
            + Checkout.files(below: "Tests", ending: [".swift"])
        let long = try files.compactMap { path -> String? in
            let lines = try Checkout.text(path).utf8.count { $0 == UInt8(ascii: "\n") }
            return lines <= 300 ? nil : "\(path): \(lines)"
        }
        #expect(long.isEmpty, "more than 300 lines: \(long)")
    }

    /// From the line of `func` or `init` to the brace in the same column.
    @Test func noFunctionIsLongerThanSixtyLines() throws {
        var long: [String] = []
        for path in Checkout.files(below: "Sources", ending: [".swift"]) {
            let lines = try Checkout.text(path).split(separator: "\n", omittingEmptySubsequences: false)
            for (i, line) in lines.enumerated() where line.contains("func ") || line.contains("init") {
                let indent = line.prefix { $0 == " " }
                let words = line.dropFirst(indent.count).split(separator: " ")
                guard let start = words.first(where: { !Self.modifiers.contains(String($0)) && !$0.hasPrefix("@") }),
                    start == "func" || start.hasPrefix("init(") || start.hasPrefix("init?(")
                        || start.hasPrefix("init<"),
                    // A function without a body, or of one line, ends before.
                    !line.hasSuffix("}"), let end = lines[i...].firstIndex(where: { $0 == indent + "}" })
                else { continue }
                if end - i >= 60 { long.append("\(path):\(i + 1): \(end - i + 1)") }
            }
        }
        #expect(long.isEmpty, "more than 60 lines: \(long)")
    }

    private static let modifiers: Set<String> = [
        "public", "package", "private", "fileprivate", "internal", "static", "mutating", "override", "final",
        "nonisolated", "convenience",
    ]

    /// A call of five values without a word at any of them cannot be read.
    @Test func noFunctionTakesFiveArgumentsWithoutLabels() throws {
        var unlabelled: [String] = []
        for path in Checkout.files(below: "Sources", ending: [".swift"]) {
            let text = try Checkout.text(path)
            for declaration in text.matches(of: /\b(func\s+[^\s(]+?|init[?!]?|subscript)\s*(<[^>{}]*>)?\(/) {
                let count = Self.unlabelledParameters(text[declaration.range.upperBound...])
                if count >= 5 {
                    let line = text[..<declaration.range.lowerBound].count { $0 == "\n" } + 1
                    unlabelled.append("\(path):\(line): \(declaration.1), \(count)")
                }
            }
        }
        #expect(unlabelled.isEmpty, "five and more parameters without labels: \(unlabelled)")
    }

    /// Parameters that a caller does not name.
    ///
    /// - Parameter text: what follows the bracket that opens them.
    private static func unlabelledParameters(_ text: Substring) -> Int {
        var (count, depth, begins) = (0, 0, true)
        for (index, character) in zip(text.indices, text) {
            switch character {
            case "(", "[", "{": depth += 1
            case ")" where depth == 0: return count
            case ")", "]", "}": depth -= 1
            case ",": begins = begins || depth == 0
            case "_" where begins && depth == 0 && text[text.index(after: index)...].hasPrefix(" "):
                (count, begins) = (count + 1, false)
            case " ", "\n": break
            default: begins = false
            }
        }
        return count
    }

    @Test func noFolderHoldsMoreThanTwentyFiles() {
        var counts: [String: Int] = [:]
        for path in Checkout.files(below: "Sources", ending: [".swift", ".c", ".h", ".inc", ".S"]) {
            counts[(path as NSString).deletingLastPathComponent, default: 0] += 1
        }
        let full = counts.filter { $0.value > 20 }
        #expect(full.isEmpty, "more than 20 files: \(full)")
    }
}
