import Duality
import Foundation
import TestSupport
import Testing

/// The pages show what is compiled and run here.
@Suite struct GuideTests {
    /// The Swift blocks of a page, without their indentation.
    private func blocks(of page: String) throws -> [String] {
        let text = try String(contentsOfFile: Fixtures.package.appendingPathComponent(page).path, encoding: .utf8)
        return text.components(separatedBy: "```swift\n").dropFirst().map {
            $0.components(separatedBy: "\n```")[0]
        }
    }

    /// The marked parts of GuideExamples.swift, without their indentation.
    private func examples() throws -> [String] {
        let path = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent(
            "GuideExamples.swift")
        let text = try String(contentsOf: path, encoding: .utf8)
        return text.components(separatedBy: "        // example\n").dropFirst().map { part in
            part.components(separatedBy: "\n        // end")[0].split(separator: "\n", omittingEmptySubsequences: false)
                .map { String($0.hasPrefix("        ") ? $0.dropFirst(8) : $0) }.joined(separator: "\n")
        }
    }

    @Test func thePageShowsTheseExamples() throws {
        let (shown, compiled) = (try blocks(of: "docs/library.md"), try examples())
        #expect(shown == compiled)
    }

    @Test func theReadmeShowsSomeOfThem() throws {
        let compiled = try examples()
        let shown = try blocks(of: "README.md").map {
            $0.replacingOccurrences(of: "import Duality\n\n", with: "")
        }
        #expect(!shown.isEmpty)
        for block in shown { #expect(compiled.contains(block), "not in GuideExamples.swift:\n\(block)") }
    }

    @Test func theyDoWhatTheySay() async throws {
        let answer = try await GuideExamples.anAnswer()
        #expect(!answer.isEmpty)
        #expect(try await GuideExamples.whatIsAskedFor() == ["reference", "f64"])
        #expect(try await GuideExamples.pieceByPiece().last?.content?.isEmpty == false)
        #expect(try await GuideExamples.severalTextsAtOnce().allSatisfy { !$0.isEmpty })
        let scores = try await GuideExamples.scores()
        #expect(scores.shape.first == scores.count && scores.count > 0)
        #expect(try await GuideExamples.aKernelsVerdict() == .pass)
    }
}
