//  The three pictures of a report, as inline SVG, and the style of the page.
//
//  Colours are levels of error / sigma, the same everywhere: greens are what rounding does, ambers
//  are SUSPECT, reds FAIL. They are classes, so that the style decides what they are in light and
//  in dark.

enum HTMLPlots {
    /// Upper ends of the levels.
    private static let levels = [1.0, 2, 4, Limits.sigma, 16, Limits.certainSigma, 1e2, 1e4, .infinity]

    private static func level(_ ratio: Double) -> Int { levels.firstIndex { ratio <= $0 } ?? levels.count - 1 }

    /// error / sigma, a row for each head and a column for each token or group of tokens.
    static func heatMap(_ map: ErrorMap, of name: String) -> String {
        let columns = map.tokens.count
        let shown = min(map.heads, 64)
        let cellHeight = shown <= 4 ? 22 : shown <= 16 ? 14 : 8
        let (left, width, top) = (58, 720, 22)
        let cellWidth = Double(width) / Double(max(columns, 1))
        let height = top + shown * cellHeight + 62
        var svg = open(width: left + width + 10, height: height, label: "error / sigma of \(name) by token and head")
        svg += text(left, 13, "largest error / sigma of \(name), token by head", "title")
        for head in 0..<shown {
            if shown <= 16 || head % 8 == 0 {
                svg += text(left - 6, top + head * cellHeight + cellHeight / 2 + 4, "head \(head)", "end")
            }
            for column in 0..<columns {
                let ratio = map.overSigma[head * columns + column]
                svg +=
                    "<rect class=\"l\(level(ratio))\" x=\"\(decimal(Double(left) + Double(column) * cellWidth))\" "
                    + "y=\"\(top + head * cellHeight)\" width=\"\(decimal(cellWidth + 0.2))\" height=\"\(cellHeight - 1)\">"
                    + "<title>head \(head), token \(map.tokens[column]): \(figure(ratio)) sigma</title></rect>"
            }
        }
        let bottom = top + shown * cellHeight
        for i in 0...min(6, columns - 1) {
            let column = columns > 6 ? min(i * columns / 6, columns - 1) : i
            svg += text(
                left + Int(Double(column) * cellWidth), bottom + 14, "\(map.tokens[column])",
                i == 6 ? "end" : "start")
        }
        svg += text(
            left + width / 2, bottom + 28,
            "token" + (map.heads > shown ? " (the first \(shown) of \(map.heads) heads)" : ""), "middle")
        // The key.
        let names = ["≤ 1", "2", "4", "8", "16", "32", "100", "1e4", "more"]
        for (i, name) in names.enumerated() {
            svg += "<rect class=\"l\(i)\" x=\"\(left + i * 58)\" y=\"\(bottom + 38)\" width=\"16\" height=\"12\"/>"
            svg += text(left + i * 58 + 21, bottom + 48, name, "start")
        }
        return svg + "</svg>"
    }

    /// The root mean square of error / sigma along the tokens, both scales logarithmic in the
    /// error.
    static func growth(_ growth: Growth, of name: String) -> String {
        let values = growth.overSigma.map { max($0.isFinite ? $0 : 1e12, 1e-3) }
        let high = max(Double.log10(values.max() ?? 1).rounded(.up), 1)
        let low = min(Double.log10(values.min() ?? 0.1).rounded(.down), -1)
        let (left, top, width, height) = (52, 44, 330, 180)
        func y(_ value: Double) -> Double {
            Double(top) + Double(height) * (high - Double.log10(value)) / (high - low)
        }
        let last = Double(growth.tokens.last ?? 1)
        func x(_ token: Int) -> Double { Double(left) + Double(width) * Double(token) / max(last, 1) }
        var svg = open(width: left + width + 14, height: top + height + 40, label: "error of \(name) along the tokens")
        svg += text(left, 14, "RMS error / sigma of \(name) along the tokens", "title")
        svg += text(left, 32, growth.words, "start")
        let stride = max(Int((high - low) / 6), 1)
        for exponent in Swift.stride(from: Int(low), through: Int(high), by: stride) {
            let level = y(Double.pow10(exponent))
            svg +=
                "<line class=\"grid\" x1=\"\(left)\" x2=\"\(left + width)\" y1=\"\(decimal(level))\" y2=\"\(decimal(level))\"/>"
            svg += text(left - 6, Int(level) + 4, exponent == 0 ? "1" : exponent == 1 ? "10" : "1e\(exponent)", "end")
        }
        if Double.log10(Limits.sigma) < high {
            let limit = y(Limits.sigma)
            svg +=
                "<line class=\"limit\" x1=\"\(left)\" x2=\"\(left + width)\" y1=\"\(decimal(limit))\" y2=\"\(decimal(limit))\"/>"
        }
        let points = zip(growth.tokens, values).map { "\(decimal(x($0))),\(decimal(y($1)))" }.joined(separator: " ")
        svg += "<polyline class=\"course\" points=\"\(points)\"/>"
        for token in [0, growth.tokens[growth.tokens.count / 2], growth.tokens.last ?? 0] {
            svg += text(Int(x(token)), top + height + 16, "\(token)", token == 0 ? "start" : "middle")
        }
        svg += text(left + width / 2, top + height + 32, "token", "middle")
        return svg + "</svg>"
    }

    /// The decay of each head beside its error.
    static func heads(_ map: ErrorMap, decays: [Double]) -> String {
        let shown = min(map.heads, decays.count, 40)
        let row = shown <= 10 ? 18 : 9
        let (left, top, width) = (58, 44, 150)
        var svg = open(
            width: left + 2 * width + 40, height: top + shown * row + 30, label: "decay and error of each head")
        svg += text(left, 14, "each head: how fast it forgets, how far it errs", "title")
        svg += text(left, 34, "decay dt |A| a token", "start")
        svg += text(left + width + 24, 34, "RMS error / sigma", "start")
        func position(_ value: Double, _ low: Double, _ high: Double) -> Double {
            let logarithm = Double.log10(max(value, 1e-300))
            return Double(width) * min(max((logarithm - low) / max(high - low, 1e-9), 0.01), 1)
        }
        func span(_ values: [Double]) -> (Double, Double) {
            let logs = values.filter { $0 > 0 && $0.isFinite }.map { Double.log10($0) }
            return (
                (logs.min() ?? 0).rounded(.down),
                max((logs.max() ?? 1).rounded(.up), (logs.min() ?? 0).rounded(.down) + 1)
            )
        }
        let (decayLow, decayHigh) = span(decays)
        let (errorLow, errorHigh) = span(map.headRMS)
        for head in 0..<shown {
            let y = top + head * row
            if shown <= 20 || head % 4 == 0 { svg += text(left - 6, y + row / 2 + 4, "head \(head)", "end") }
            svg +=
                "<rect class=\"bar\" x=\"\(left)\" y=\"\(y)\" width=\"\(decimal(position(decays[head], decayLow, decayHigh)))\" "
                + "height=\"\(row - 3)\"><title>\(figure(decays[head]))</title></rect>"
            let error = map.headRMS[head].isFinite ? map.headRMS[head] : 1e12
            svg +=
                "<rect class=\"l\(level(error * 3))\" x=\"\(left + width + 24)\" y=\"\(y)\" "
                + "width=\"\(decimal(position(error, errorLow, errorHigh)))\" height=\"\(row - 3)\"><title>\(figure(error))</title></rect>"
        }
        let bottom = top + shown * row + 14
        svg +=
            text(left, bottom, "1e\(Int(decayLow))", "start") + text(left + width, bottom, "1e\(Int(decayHigh))", "end")
        svg += text(left + width + 24, bottom, "1e\(Int(errorLow))", "start")
        svg += text(left + 2 * width + 24, bottom, "1e\(Int(errorHigh))", "end")
        return svg + "</svg>"
    }

    private static func open(width: Int, height: Int, label: String) -> String {
        "<svg viewBox=\"0 0 \(width) \(height)\" width=\"\(width)\" height=\"\(height)\" role=\"img\" aria-label=\"\(escaped(label))\">"
    }

    private static func text(_ x: Int, _ y: Int, _ words: String, _ style: String) -> String {
        "<text class=\"\(style)\" x=\"\(x)\" y=\"\(y)\">\(escaped(words))</text>"
    }

    private static func decimal(_ value: Double) -> String { "\((value * 10).rounded() / 10)" }

    static let style = """
        :root { color-scheme: light dark; --ink: #1c2321; --soft: #5c6966; --page: #fbfcfb; --card: #ffffff; --line: #dde4e1;
          --pass: #1f7a5c; --suspect: #a86400; --fail: #b3261e; --course: #2a5db0; --bar: #8aa0b8;
          --l0: #e9f1ee; --l1: #c9e2d8; --l2: #9ccdb9; --l3: #5fae92; --l4: #f3c969; --l5: #e89c3c; --l6: #d9663f; --l7: #b3342c; --l8: #701720; }
        @media (prefers-color-scheme: dark) {
          :root { --ink: #e6ecea; --soft: #9aa8a4; --page: #121716; --card: #1a211f; --line: #2e3937;
            --pass: #5fd0a5; --suspect: #f0b545; --fail: #ff8a80; --course: #8ab4f8; --bar: #5f7590;
            --l0: #1f2f2b; --l1: #25483e; --l2: #2f6a59; --l3: #3f957b; --l4: #b88a22; --l5: #cf7a25; --l6: #d9583c; --l7: #f0453f; --l8: #ff9d94; } }
        * { box-sizing: border-box; }
        body { margin: 0; background: var(--page); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
        main { max-width: 1080px; margin: 0 auto; padding: 32px 24px 64px; }
        header { display: flex; gap: 20px; align-items: center; border-bottom: 1px solid var(--line); padding-bottom: 20px; }
        header p { margin: 0; color: var(--soft); }
        h1 { font-size: 22px; margin: 0 0 4px; overflow-wrap: anywhere; }
        h2 { font-size: 17px; margin: 0 0 10px; }
        .verdict { font-size: 28px; font-weight: 700; letter-spacing: .02em; padding: 8px 18px; border-radius: 10px; border: 2px solid currentColor; }
        header .pass, .badge.pass { color: var(--pass); } header .suspect, .badge.suspect { color: var(--suspect); }
        header .fail, .badge.fail { color: var(--fail); }
        .badge { font-size: 12px; font-weight: 700; letter-spacing: .03em; }
        .cause { font-size: 17px; margin: 22px 0; padding: 14px 18px; background: var(--card); border: 1px solid var(--line); border-left: 4px solid var(--fail); border-radius: 8px; }
        .problem { color: var(--fail); } .lead { color: var(--soft); }
        section { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 20px 22px; margin: 20px 0; }
        .scroll { overflow-x: auto; max-height: 560px; overflow-y: auto; }
        table { border-collapse: collapse; width: 100%; min-width: 860px; font-size: 13px; }
        th { text-align: left; color: var(--soft); font-weight: 600; position: sticky; top: 0; background: var(--card); }
        th, td { padding: 4px 10px 4px 0; border-bottom: 1px solid var(--line); vertical-align: top; }
        .n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
        code { font: 13px ui-monospace, monospace; }
        figure { margin: 14px 0 0; overflow-x: auto; } .pair { display: flex; flex-wrap: wrap; gap: 24px; }
        .wide svg { min-width: 600px; } .findings { padding-left: 20px; }
        @media (max-width: 560px) { main { padding: 16px 12px 40px; } section { padding: 14px 14px; } .verdict { font-size: 20px; padding: 6px 12px; } header { align-items: flex-start; } h1 { font-size: 18px; } }
        svg { max-width: 100%; height: auto; display: block; } svg text { fill: var(--soft); font: 11px system-ui, sans-serif; }
        svg text.title { fill: var(--ink); font-size: 12px; font-weight: 600; } svg text.end { text-anchor: end; } svg text.middle { text-anchor: middle; }
        .grid { stroke: var(--line); } .limit { stroke: var(--suspect); stroke-dasharray: 4 3; } .course { fill: none; stroke: var(--course); stroke-width: 2; stroke-linejoin: round; }
        .bar { fill: var(--bar); }
        \((0...8).map { ".l\($0) { fill: var(--l\($0)); }" }.joined(separator: " "))
        footer { color: var(--soft); font-size: 13px; margin-top: 32px; } footer h2 { color: var(--ink); } footer ul { padding-left: 18px; }
        """
}

extension Double {
    fileprivate static func log10(_ value: Double) -> Double { Double.log(value) / Double.log(10) }
    fileprivate static func pow10(_ exponent: Int) -> Double { Double.pow(10, Double(exponent)) }
}
