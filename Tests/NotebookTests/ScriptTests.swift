import DualityCore
import DualityNotebook
import Foundation
import Testing

@testable import weave

/// What every script of the package must be.
@Suite struct ScriptTests {
    @Test(arguments: BuiltScript.names) func runsAndItsClaimsHoldWithoutGnuplot(_ name: String) throws {
        let run = try BuiltScript.run(name)
        #expect(run.status == 0, "\(name) ended with status \(run.status)")
        var claims = 0
        var figures = 0
        // Without its package trait a script computes less, and says what it left out.
        let isPartial = run.outputs.contains { $0.output.isComputationLeftOut }
        for output in run.outputs.map(\.output) {
            if case .claim = output { claims += 1 }
            if case .missing(let what, let how) = output {
                figures += what.hasPrefix("figure") ? 1 : 0
                #expect(run.text.contains("(left out: \(what). To get it: \(how))"))
            }
        }
        #expect(claims >= (isPartial ? 1 : 3), "\(name) claims \(claims) things")
        #expect(figures >= (isPartial ? 0 : 1), "\(name) has no figure")

        // Every number that the prose quotes was stated by this run.
        let page = Page(script: try Script(name: name, source: BuiltScript.source(name)), outputs: run.outputs)
        #expect(throws: Never.self) { _ = try page.markdown() }
    }

    @Test(arguments: BuiltScript.names) func isShortAndHasThreeExercisesWithComputedAnswers(_ name: String) throws {
        let source = try BuiltScript.source(name)
        let lines = source.components(separatedBy: "\n")
        #expect(lines.count <= 290, "\(name) has \(lines.count - 1) lines")
        let script = try Script(name: name, source: source)
        for answer in ["Answer 1", "Answer 2", "Answer 3"] {
            let cells = script.cells.filter { $0.fold == answer }
            #expect(cells.contains { $0.kind == .prose }, "\(name): \(answer) says nothing")
            #expect(cells.contains { $0.kind == .code }, "\(name): \(answer) computes nothing")
        }
        #expect(script.cells.contains { $0.text.contains("At the end you will know") })
        for cell in script.cells where cell.kind == .code {
            for line in cell.text.components(separatedBy: "\n") {
                #expect(line.count <= 110, "\(name): wider than a page: \(line)")
            }
        }
    }

    /// Prose may name sizes (Q = 64, float32); what was measured has a point, a power of ten or a
    /// percent sign.
    @Test(arguments: BuiltScript.names) func proseHoldsNoTypedMeasurements(_ name: String) throws {
        let script = try Script(name: name, source: BuiltScript.source(name))
        for cell in script.cells where cell.kind == .prose {
            let plain = cell.text.replacing(/\$\$[^$]*\$\$|\$[^$]*\$|`[^`]*`|\{\{[^}]*\}\}|arXiv [0-9.]*/, with: "")
            #expect(plain.firstMatch(of: /\d\.\d|\de-?\d|\d\s?%/) == nil, "\(name), line \(cell.lines.lowerBound)")
        }
    }
}

@Suite struct CellTests {
    @Test func knowsProseFromCodeAndWhereEachStands() throws {
        let script = try Script(
            name: "00-x",
            source: """
                // %% [markdown]
                // # Title
                //
                // Summary in
                // two lines.

                // %%
                let a = 1

                // %% [markdown] fold="Answer 1"
                // Because.
                """)
        #expect(script.title == "Title")
        #expect(script.summary == "Summary in two lines.")
        #expect(script.cells.map(\.kind) == [.prose, .code, .prose])
        #expect(script.cells.map(\.text)[1...] == ["let a = 1", "Because."])
        #expect(script.cells[1].lines == 7...9)
        #expect(script.cells[2].fold == "Answer 1")
    }

    @Test func refusesCodeInProse() {
        #expect {
            try Script(name: "00-x", source: "// %% [markdown]\n// # Title\n//\n// Text.\nlet a = 1\n")
        } throws: { error in
            (error as? InputError)?.place == "00-x/main.swift: line 5"
        }
    }
}

@Suite struct SiteTests {
    @Test func saysHowToGetPandoc() throws {
        let error = #expect(throws: InputError.self) { try Site.pandoc(path: "/nowhere:") }
        #expect(error?.remedy.contains("apt-get install pandoc") == true)
    }
}

@Suite struct PageTests {
    private func page(_ prose: String, _ outputs: [(Int, Output)]) throws -> Page {
        let source = "// %% [markdown]\n// # T\n//\n// S.\n//\n// \(prose)\n// %%\nlet a = 1\n"
        let records = outputs.map { line, output in
            RecordedOutput(line: line, output: output)
        }
        return Page(script: try Script(name: "00-x", source: source), outputs: records)
    }

    @Test func quotesValuesInProse() throws {
        let markdown = try page("It is {{a}}.", [(8, .value(name: "a", text: "1.5e-16"))]).markdown()
        #expect(markdown.contains("It is 1.5\u{a0}×\u{a0}10^−16^."))
        let token = try page("It is {{a}}.", [(8, .value(name: "a", text: "‘\"’ or a_b"))]).markdown()
        #expect(token.contains("It is ‘\\\"’\u{a0}or\u{a0}a\\_b."))
    }

    @Test func refusesAValueThatTheRunDidNotState() throws {
        #expect(throws: InputError.self) { try page("It is {{b}}.", [(8, .value(name: "a", text: "1"))]).markdown() }
    }

    @Test func leavesAGapWhereSomethingWasNotComputed() throws {
        let partial = try page("It is {{b}}.", [(8, .missing(what: "ranks", how: "LAPACK"))]).markdown()
        #expect(partial.contains("It is …."))
        // A figure that was not drawn excuses no value.
        #expect(throws: InputError.self) {
            try page("It is {{b}}.", [(8, .missing(what: "figure a, because", how: "gnuplot"))]).markdown()
        }
    }

    @Test func putsOutputsBelowTheirCellWithHTMLWrittenOut() throws {
        let markdown = try page("Text.", [(8, .text("a < b")), (8, .claim("so"))]).markdown()
        let code = try #require(markdown.range(of: "```swift\nlet a = 1\n```"))
        let output = try #require(
            markdown.range(of: "<pre class=\"output\">a &lt; b\n<span class=\"claim\">✓</span> so</pre>"))
        #expect(code.upperBound < output.lowerBound)
    }
}
