//  A panel in the language of gnuplot, and the SVG that comes of it.
//
//  The colours are those of Okabe and Ito, told apart by readers of every colour vision, in an
//  order that also differs in lightness; lines differ in their marks too. Maps use cividis, which
//  looks the same to all. gnuplot writes fixed colours; they are replaced by variables, so that one
//  picture serves light pages and dark ones.

import Foundation

/// Why a figure could not be drawn.
struct DrawingError: Error {
    let reason: String
    let remedy: String
}

enum Gnuplot {
    /// Draws a panel into a file.
    static func draw(_ panel: Panel, to file: URL) throws(DrawingError) {
        guard let program = Self.program else {
            throw DrawingError(
                reason: "gnuplot is not installed", remedy: "apt-get install gnuplot-nox, or brew install gnuplot")
        }
        do {
            try FileManager.default.createDirectory(
                at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
            let drawn = try run(program, script: script(panel))
            try Data(themed(drawn).utf8).write(to: file)
        } catch let error as DrawingError {
            throw error
        } catch {
            throw DrawingError(reason: "\(file.path) cannot be written", remedy: "run it where you may write")
        }
    }

    /// The path of gnuplot, sought in PATH.
    private static let program: URL? = (ProcessInfo.processInfo.environment["PATH"] ?? "")
        .split(separator: ":").map { URL(fileURLWithPath: String($0)).appendingPathComponent("gnuplot") }
        .first { FileManager.default.isExecutableFile(atPath: $0.path) }

    private static func run(_ program: URL, script: String) throws -> String {
        let process = Process()
        let (input, output, errors) = (Pipe(), Pipe(), Pipe())
        process.executableURL = program
        (process.standardInput, process.standardOutput, process.standardError) = (input, output, errors)
        try process.run()
        // gnuplot reads all of its script before it writes a picture, so neither waits for the
        // other.
        input.fileHandleForWriting.write(Data(script.utf8))
        try input.fileHandleForWriting.close()
        let picture = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        let complaint = String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        guard process.terminationStatus == 0, picture.contains("</svg>") else {
            let last = complaint.split(separator: "\n").last.map(String.init) ?? "it drew nothing"
            throw DrawingError(reason: "gnuplot failed: \(last)", remedy: "gnuplot 5.2 or newer")
        }
        return picture
    }

    // MARK: Colours

    /// Name, colour on a light page, colour on a dark one.
    static let colours: [(name: String, light: String, dark: String)] = [
        ("blue", "#0072b2", "#56a9e8"), ("orange", "#d55e00", "#ff9248"), ("green", "#009e73", "#35cfa4"),
        ("purple", "#aa4a8c", "#e39ac9"), ("sand", "#b8860b", "#e6c04d"), ("grey", "#6b7280", "#a5adba"),
    ]
    private static let (ink, faint) = ("#1f2430", "#d5d8de")
    private static let (darkInk, darkFaint) = ("#e4e6eb", "#3c424d")
    private static let cividis = [
        "#00224e", "#123570", "#3b496c", "#575d6d", "#707173", "#8a8678", "#a59c74", "#c3b369", "#e1cc55", "#fee838",
    ]

    /// The picture with variables for colours.
    static func themed(_ picture: String) -> String {
        var picture = picture.replacingOccurrences(of: "\"black\"", with: "\"var(--ink)\"")
            .replacingOccurrences(of: "'black'", with: "'var(--ink)'")
        for (name, hex, _) in colours + [("faint", faint, "")] {
            picture = picture.replacingOccurrences(of: svgColour(hex), with: "var(--\(name))")
        }
        func variables(_ pairs: [(String, String)]) -> String {
            pairs.map { "--\($0.0):\($0.1)" }.joined(separator: ";")
        }
        let light = variables(colours.map { ($0.name, $0.light) } + [("ink", ink), ("faint", faint)])
        let dark = variables(colours.map { ($0.name, $0.dark) } + [("ink", darkInk), ("faint", darkFaint)])
        let style = "<style>:root{\(light)}@media(prefers-color-scheme:dark){:root{\(dark)}}</style>"
        guard let start = picture.range(of: "<title>") else { return picture }
        picture.insert(contentsOf: style + "\n", at: start.lowerBound)
        return picture
    }

    /// A colour as gnuplot writes it.
    private static func svgColour(_ hex: String) -> String {
        let number = Int(hex.dropFirst(), radix: 16) ?? 0
        return String(format: "rgb(%3d, %3d, %3d)", number >> 16, number >> 8 & 255, number & 255)
    }

    // MARK: The script

    static func script(_ panel: Panel) -> String {
        var lines: [String] = []
        let height: Int
        switch panel.content {
        case .chart: height = 360
        case .map(let rows, _, _): height = rows.count == rows.first?.count ? 430 : 360
        case .bars(let bars): height = 90 + 24 * bars.count
        }
        lines.append("set terminal svg size 540,\(height) enhanced font 'sans-serif,15' linewidth 1")
        if !panel.title.isEmpty { lines.append("set title \(quoted(panel.title)) font ',16'") }
        lines.append("set border 3 lw 1")
        lines.append("set tics nomirror out scale 0.6")
        lines.append("set grid lt 1 lw 0.7 lc rgb '\(faint)'")
        lines += axis("x", panel.x) + axis("y", panel.y)
        switch panel.content {
        case .chart(let series): lines += chart(series)
        case .map(let rows, let colour, let numbers): lines += map(rows, colour, numbers)
        case .bars(let bars): lines += self.bars(bars, from: panel.x)
        }
        return lines.joined(separator: "\n") + "\n"
    }

    private static func axis(_ letter: String, _ axis: Axis) -> [String] {
        var lines: [String] = []
        if !axis.name.isEmpty { lines.append("set \(letter)label \(quoted(axis.name))") }
        switch axis.scale {
        case .linear: break
        case .log10: lines += ["set logscale \(letter)", "set format \(letter) '10^{%L}'"]
        case .log2: lines += ["set logscale \(letter) 2"]
        }
        if let range = axis.range {
            lines.append("set \(letter)range [\(range.lowerBound):\(range.upperBound)]")
        }
        if let marks = axis.marks {
            lines.append("set \(letter)tics (\(marks.map { "\(quoted($0.text)) \($0.at)" }.joined(separator: ", ")))")
        }
        return lines
    }

    private static func chart(_ series: [Series]) -> [String] {
        var lines = ["set key outside top left horizontal Left reverse samplen 1.6 width 1"]
        var plots: [String] = []
        // A theory has the colour of what it explains: the first dashed series that of the first
        // other one, and so on.
        var (dashed, others) = (0, 0)
        for (i, one) in series.enumerated() {
            lines.append("$s\(i) << EOD")
            lines += one.points.map { $0.x.isFinite && $0.y.isFinite ? "\($0.x) \($0.y)" : "" }
            lines.append("EOD")
            let place = one.style == .dashed ? dashed : others
            if one.style == .dashed { dashed += 1 } else { others += 1 }
            let colour = "lc rgb '\(colours[place % colours.count].light)'"
            let mark = "pt \([7, 5, 9, 13, 11, 4][place % 6]) ps 0.6"
            let style =
                switch one.style {
                case .line: "lines lw 2.2 \(colour)"
                case .points: "points \(mark) \(colour)"
                case .lineAndPoints: "linespoints lw 2 \(mark) \(colour)"
                case .dashed: "lines lw 1.8 dt (6,4) \(colour)"
                }
            plots.append(
                "$s\(i) using 1:2 with \(style) " + (one.name.isEmpty ? "notitle" : "title \(quoted(one.name))"))
        }
        return lines + ["plot " + plots.joined(separator: ", \\\n    ")]
    }

    private static func map(_ rows: [[Double]], _ colour: Axis, _ numbers: Notation?) -> [String] {
        let (height, width) = (rows.count, rows.first?.count ?? 0)
        let palette = cividis.enumerated().map { "\($0) '\($1)'" }.joined(separator: ", ")
        var lines = [
            "set palette defined (\(palette))", "unset grid", "set border 0", "set cblabel \(quoted(colour.name))",
        ]
        if colour.scale != .linear { lines += ["set logscale cb", "set format cb '10^{%L}'"] }
        if let range = colour.range { lines.append("set cbrange [\(range.lowerBound):\(range.upperBound)]") }
        lines += ["set xrange [0.5:\(width).5]", "set yrange [\(height).5:0.5]"]
        if height == width { lines.append("set size ratio 1") }
        if width <= 12 { lines += ["set xtics 1", "set ytics 1"] }
        lines.append("$m << EOD")
        for (t, row) in rows.enumerated() {
            for (s, number) in row.enumerated() {
                let shown = colour.scale == .linear ? number : number.magnitude
                lines.append("\(s + 1) \(t + 1) \(shown.isFinite ? "\(shown)" : "NaN")")
            }
        }
        lines.append("EOD")
        if let numbers {
            // Where a number stands on the colour scale decides whether it is read on a dark or on
            // a light field.
            let place = { (number: Double) in colour.scale == .linear ? number : log2(max(number.magnitude, 1e-300)) }
            let all = rows.joined().filter(\.isFinite).map(place)
            let low = colour.range.map { place($0.lowerBound) } ?? all.min() ?? 0
            let high = colour.range.map { place($0.upperBound) } ?? all.max() ?? 1
            for (t, row) in rows.enumerated() {
                for (s, number) in row.enumerated() where number.isFinite {
                    let light = (place(number) - low) / (high - low) > 0.5
                    lines.append(
                        "set label \(quoted(text(number, numbers))) at \(s + 1),\(t + 1) center front font ',13' "
                            + "tc rgb '\(light ? "#010101" : "#fefefe")'")
                }
            }
        }
        return lines + ["plot $m using 1:2:3 with image pixels notitle"]
    }

    private static func bars(_ bars: [(name: String, value: Double)], from axis: Axis) -> [String] {
        // 0 is not on a logarithmic axis: bars begin at its edge.
        let least = bars.map(\.value).min() ?? 1
        let edge = axis.range?.lowerBound ?? (axis.scale == .linear ? 0 : least / 3)
        let start = axis.scale == .linear ? [] : ["set xrange [\(edge):*]"]
        let marks = bars.enumerated().map { "\(quoted($1.name)) \($0 + 1)" }.joined(separator: ", ")
        var lines = [
            "set ytics (\(marks)) scale 0", "set yrange [\(bars.count).6:0.4]", "set grid noytics", "$b << EOD",
        ]
        lines += bars.enumerated().map { "\($1.value) \($0 + 1)" }
        let colour = colours[0].light
        return start + lines + [
            "EOD",
            "plot $b using 1:2:(\(edge)):1:($2 - 0.32):($2 + 0.32) with boxxyerror "
                + "fs solid 0.85 noborder lc rgb '\(colour)' notitle",
        ]
    }

    /// Text between quotes, its characters meant as they are.
    private static func quoted(_ text: String) -> String {
        var result = "\""
        for character in text {
            switch character {
            case "\\", "\"": result += "\\\(character)"
            case "_", "^", "{", "}", "@", "&", "~": result += "\\\\\(character)"
            default: result.append(character)
            }
        }
        return result + "\""
    }
}

/// The name of the running script, as its files are called.
let scriptName = URL(fileURLWithPath: CommandLine.arguments.first ?? "notebook").lastPathComponent
