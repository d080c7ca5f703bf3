import Foundation
import TestSupport
import Testing

/// What a dependent sees is written down, so that a change of it is seen; and each declaration says
/// what it is.
@Suite struct SurfaceTests {
    /// The modules that are products, by the folders of their sources.
    static let modules = ["Core", "Duality", "Inference", "Numerics", "Quant", "Reference", "Verify"]

    /// Compares with `docs/surface/MODULE.txt`; `DUALITY_SURFACE=write` writes it anew.
    @Test(arguments: modules) func publicDeclarationsAreThoseWrittenDown(module: String) throws {
        let found = try Surface(module).declarations.map(\.text)
        let path = "docs/surface/\(module).txt"
        if ProcessInfo.processInfo.environment["DUALITY_SURFACE"] == "write" {
            let file = Fixtures.package.appendingPathComponent(path)
            try FileManager.default.createDirectory(
                at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
            try (found.joined(separator: "\n") + "\n").write(to: file, atomically: true, encoding: .utf8)
        }
        let written = try Checkout.text(path).split(separator: "\n").map(String.init)
        let (more, fewer) = (Set(found).subtracting(written).sorted(), Set(written).subtracting(found).sorted())
        #expect(
            more.isEmpty && fewer.isEmpty,
            """
            The public surface of \(module) has changed. New: \(more). Gone: \(fewer).
            If that is meant, write it down: DUALITY_SURFACE=write swift test --filter SurfaceTests
            """)
    }

    @Test(arguments: modules) func publicDeclarationsAreDocumented(module: String) throws {
        let silent = try Surface(module).declarations.filter { !$0.isDocumented }.map(\.text)
        #expect(silent.isEmpty, "\(silent.count) without a word: \(silent.prefix(20))")
    }

    @Test(arguments: modules) func casesOfPublicEnumsAreDocumented(module: String) throws {
        let silent = try Surface(module).silentCases
        #expect(silent.isEmpty, "\(silent.count) without a word: \(silent.prefix(20))")
    }
}

/// The public declarations of a module, read from its sources.
struct Surface {
    struct Declaration {
        /// The file's name and the declaration up to its body, in one line.
        var text: String
        var isDocumented: Bool
    }

    private(set) var declarations: [Declaration] = []

    /// Cases of public enums that no comment explains.
    private(set) var silentCases: [String] = []

    init(_ module: String) throws {
        for path in Checkout.files(below: "Sources/\(module)", ending: [".swift"]).sorted() {
            let lines = try Checkout.text(path).split(separator: "\n", omittingEmptySubsequences: false)
                .map { $0.trimmingCharacters(in: .whitespaces) }
            let file = (path as NSString).lastPathComponent
            for (index, line) in lines.enumerated() where Self.isPublic(line) {
                let above = lines[..<index].last { !$0.hasPrefix("@") } ?? ""
                declarations.append(
                    Declaration(
                        text: "\(file): \(Self.signature(lines[index...]))",
                        isDocumented: above.hasPrefix("///") || Self.saysItself(line)))
                if line.contains("public enum ") || line.contains("public indirect enum ") {
                    silentCases += Self.cases(lines[index...]).filter { !lines[$0 - 1].hasPrefix("///") }
                        .map { "\(file): \(lines[$0])" }
                }
            }
        }
    }

    /// The lines of an enum's own cases: those one brace deep.
    private static func cases(_ lines: ArraySlice<String>) -> [Int] {
        var (depth, found) = (0, [Int]())
        for (index, line) in zip(lines.indices, lines) {
            if depth == 1, line.hasPrefix("case ") { found.append(index) }
            depth += line.count { $0 == "{" } - line.count { $0 == "}" }
            if depth <= 0 { break }
        }
        return found
    }

    private static func isPublic(_ line: String) -> Bool {
        var words = line.split(separator: " ")[...]
        while let word = words.first, word.hasPrefix("@") { words = words.dropFirst() }
        return words.first == "public"
    }

    /// What a protocol of the language or of the module already explains.
    private static func saysItself(_ line: String) -> Bool {
        [
            "static func ==", "static func <", "func hash(into", "var description:", "var debugDescription:",
            "typealias ", "func encode(to", "init(from decoder", "func makeIterator(", "mutating func next()",
            "init(stringLiteral", "init(integerLiteral", "init(floatLiteral", "init(booleanLiteral",
            "init(dictionaryLiteral", "init(arrayLiteral", "init(nilLiteral", "extension ", "init() {}",
        ].contains { line.contains($0) }
    }

    /// From `public` to the body or the value, spaces made one.
    private static func signature(_ lines: ArraySlice<String>) -> String {
        var text = ""
        var depth = 0
        for line in lines {
            for character in line {
                if depth == 0, character == "{" || character == "=" && !text.hasSuffix(" =") && text.hasSuffix(" ") {
                    if character == "{" || !text.contains("func ") { return text.trimmingCharacters(in: .whitespaces) }
                }
                if "([".contains(character) { depth += 1 }
                if ")]".contains(character) { depth -= 1 }
                text.append(character)
            }
            guard depth > 0 || text.hasSuffix("->") else { break }
            if !text.hasSuffix("(") && !text.hasSuffix("[") { text.append(" ") }
        }
        return text.trimmingCharacters(in: .whitespaces)
    }
}
