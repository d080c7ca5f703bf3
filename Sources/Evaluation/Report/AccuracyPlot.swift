//  Score against length, a line a task, as an SVG.

import Foundation

package struct AccuracyPlot {
    package struct Line {
        package var name: String
        package var points: [(length: Int, score: Double, interval: Interval)]
        /// Of the model that is compared with.
        package var isDashed = false

        package init(name: String, points: [(length: Int, score: Double, interval: Interval)], isDashed: Bool = false) {
            (self.name, self.points, self.isDashed) = (name, points, isDashed)
        }
    }

    private let title: String
    private let lines: [Line]
    /// The context that the model was trained for.
    private let context: Int?

    private static let colors = [
        "#1f6fb4", "#d1571b", "#2c8a3d", "#b3273a", "#7450a8", "#7a5240", "#c2509b", "#5f6670", "#9a8f12", "#1597a5",
    ]
    private static let (width, height, left, top, bottom) = (860.0, 460.0, 64.0, 48.0, 54.0)

    package init(title: String, lines: [Line], context: Int?) {
        (self.title, self.lines, self.context) = (title, lines.filter { !$0.points.isEmpty }, context)
    }

    package var svg: String {
        let lengths = lines.flatMap { $0.points.map(\.length) }
        let low = log2(Double(lengths.min() ?? 1024)) - 0.25
        let high = max(log2(Double(lengths.max() ?? 2048)) + 0.25, low + 0.5)
        let longest = lines.map(\.name.count).max() ?? 0
        let right = 28 + 7.2 * Double(longest) + 24
        let (plotWidth, plotHeight) = (Self.width - Self.left - right, Self.height - Self.top - Self.bottom)
        func x(_ length: Int) -> Double { Self.left + (log2(Double(length)) - low) / (high - low) * plotWidth }
        func y(_ score: Double) -> Double { Self.top + (1 - score) * plotHeight }
        var svg = """
            <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 \(Int(Self.width)) \(Int(Self.height))" font-family="sans-serif" font-size="12">
            <rect width="100%" height="100%" fill="white"/>
            <text x="\(Self.left)" y="26" font-size="15">\(Self.escaped(title))</text>

            """
        for percent in stride(from: 0, through: 100, by: 20) {
            let height = Self.number(y(Double(percent) / 100))
            svg +=
                "<line x1=\"\(Self.left)\" x2=\"\(Self.number(Self.left + plotWidth))\" y1=\"\(height)\" y2=\"\(height)\" stroke=\"#e3e3e3\"/>\n"
            svg +=
                "<text x=\"\(Self.left - 8)\" y=\"\(height)\" text-anchor=\"end\" dominant-baseline=\"middle\">\(percent) %</text>\n"
        }
        let bottom = Self.number(Self.top + plotHeight)
        for length in Set(lengths).sorted() {
            svg +=
                "<line x1=\"\(Self.number(x(length)))\" x2=\"\(Self.number(x(length)))\" y1=\"\(bottom)\" y2=\"\(Self.number(Self.top + plotHeight + 5))\" stroke=\"black\"/>\n"
            svg +=
                "<text x=\"\(Self.number(x(length)))\" y=\"\(Self.number(Self.top + plotHeight + 20))\" text-anchor=\"middle\">\(Self.label(length))</text>\n"
        }
        svg +=
            "<line x1=\"\(Self.left)\" x2=\"\(Self.number(Self.left + plotWidth))\" y1=\"\(bottom)\" y2=\"\(bottom)\" stroke=\"black\"/>\n"
        svg +=
            "<text x=\"\(Self.number(Self.left + plotWidth / 2))\" y=\"\(Self.number(Self.height - 12))\" text-anchor=\"middle\">tokens of context</text>\n"
        if let context, log2(Double(context)) > low, log2(Double(context)) < high {
            let place = Self.number(x(context))
            svg +=
                "<line x1=\"\(place)\" x2=\"\(place)\" y1=\"\(Self.top)\" y2=\"\(bottom)\" stroke=\"#888\" stroke-dasharray=\"2 4\"/>\n"
            svg +=
                "<text x=\"\(Self.number(x(context) - 6))\" y=\"\(Self.number(Self.top - 6))\" text-anchor=\"end\" fill=\"#666\">trained context</text>\n"
        }
        svg += bands(x, y) + curves(x, y) + labels(Self.left + plotWidth + 12, y)
        return svg + "</svg>\n"
    }

    private func bands(_ x: (Int) -> Double, _ y: (Double) -> Double) -> String {
        var svg = ""
        for (i, line) in lines.enumerated() {
            let color = Self.colors[i % Self.colors.count]
            if line.points.count == 1, let point = line.points.first {
                svg +=
                    "<line x1=\"\(Self.number(x(point.length)))\" x2=\"\(Self.number(x(point.length)))\" y1=\"\(Self.number(y(point.interval.lower)))\" y2=\"\(Self.number(y(point.interval.upper)))\" stroke=\"\(color)\" stroke-opacity=\"0.4\" stroke-width=\"3\"/>\n"
                continue
            }
            let upper = line.points.map { "\(Self.number(x($0.length))),\(Self.number(y($0.interval.upper)))" }
            let lower = line.points.reversed().map {
                "\(Self.number(x($0.length))),\(Self.number(y($0.interval.lower)))"
            }
            svg +=
                "<polygon points=\"\((upper + lower).joined(separator: " "))\" fill=\"\(color)\" fill-opacity=\"0.10\"/>\n"
        }
        return svg
    }

    private func curves(_ x: (Int) -> Double, _ y: (Double) -> Double) -> String {
        var svg = ""
        for (i, line) in lines.enumerated() {
            let color = Self.colors[i % Self.colors.count]
            let points = line.points.map { "\(Self.number(x($0.length))),\(Self.number(y($0.score)))" }
            let dash = line.isDashed ? " stroke-dasharray=\"6 4\"" : ""
            svg +=
                "<polyline points=\"\(points.joined(separator: " "))\" fill=\"none\" stroke=\"\(color)\" stroke-width=\"2\"\(dash)/>\n"
            for point in line.points {
                svg +=
                    "<circle cx=\"\(Self.number(x(point.length)))\" cy=\"\(Self.number(y(point.score)))\" r=\"3.5\" fill=\"\(color)\"/>\n"
            }
        }
        return svg
    }

    /// Names at the ends of their lines, moved apart where they would cover each other.
    private func labels(_ left: Double, _ y: (Double) -> Double) -> String {
        let order = lines.indices.sorted { y(lines[$0].points.last!.score) < y(lines[$1].points.last!.score) }
        var heights: [Double] = []
        for i in order {
            let wanted = y(lines[i].points.last!.score)
            heights.append(max(wanted, (heights.last ?? -100) + 15))
        }
        // What was pushed below the axis goes up again.
        let floor = Self.height - Self.bottom
        for k in heights.indices.reversed() {
            let limit = k + 1 < heights.count ? heights[k + 1] - 15 : floor
            heights[k] = min(heights[k], limit)
        }
        var svg = ""
        for (i, height) in zip(order, heights) {
            let color = Self.colors[i % Self.colors.count]
            svg +=
                "<text x=\"\(Self.number(left))\" y=\"\(Self.number(height))\" fill=\"\(color)\" dominant-baseline=\"middle\">\(Self.escaped(lines[i].name))</text>\n"
        }
        return svg
    }

    private static func number(_ value: Double) -> String { String(format: "%.1f", value) }

    /// 4096 is 4K.
    package static func label(_ length: Int) -> String {
        length % 1024 == 0 ? "\(length / 1024)K" : "\(length)"
    }

    private static func escaped(_ text: String) -> String {
        text.replacingOccurrences(of: "&", with: "&amp;").replacingOccurrences(of: "<", with: "&lt;")
    }
}
