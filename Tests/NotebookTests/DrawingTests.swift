import Testing

@testable import DualityNotebook

@Suite struct DrawingTests {
    @Test(arguments: [
        (0.0123, Notation.significant(3), "0.0123"), (1.234e-16, .significant(2), "1.2e-16"),
        (81920, .significant(3), "81,920"), (12.34, .significant(3), "12.3"), (0.5, .short(4), "0.5"),
        (0.0234, .percent(1), "2.3 %"), (-1_234_567, .scientific(2), "-1.2e6"), (0, .significant(3), "0"),
    ]) func writesNumbers(_ number: Double, _ notation: Notation, _ expected: String) {
        #expect(text(number, notation) == expected)
    }

    @Test func namesAxesAndKeepsTheirCharacters() {
        let script = Gnuplot.script(
            .chart(x: Axis("x_0 (tokens)", .log2), y: Axis("y (\"s\")", .log10), .line("a^b", [(1, 2), (2, .nan)])))
        #expect(script.contains("set xlabel \"x\\\\_0 (tokens)\""))
        #expect(script.contains("set ylabel \"y (\\\"s\\\")\""))
        #expect(script.contains("title \"a\\\\^b\""))
        #expect(script.contains("set logscale x 2"))
        #expect(script.contains("1.0 2.0\n\nEOD"))
    }

    @Test func replacesColoursByVariables() {
        let picture = Gnuplot.themed(
            "<svg><title>t</title><path stroke='rgb(  0, 114, 178)'/><text fill=\"black\"/></svg>")
        #expect(picture.contains("stroke='var(--blue)'"))
        #expect(picture.contains("fill=\"var(--ink)\""))
        #expect(picture.contains("prefers-color-scheme:dark"))
    }
}
