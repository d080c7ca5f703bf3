//  Pictures of numbers: what is to be drawn, without a word on how.
//
//  A figure is one or more panels beside each other. A panel is a chart of series over two axes, or
//  a map of a matrix. On a narrow screen panels stand below each other, which is why each becomes a
//  picture of its own.

/// An axis: its name with the unit in parentheses, and how it counts.
public struct Axis: Sendable {
    public enum Scale: Sendable {
        case linear, log10, log2
    }

    let name: String
    let scale: Scale
    let range: ClosedRange<Double>?
    /// Where numbers stand; chosen by the plotter when nil.
    let marks: [(text: String, at: Double)]?

    public init(
        _ name: String, _ scale: Scale = .linear, range: ClosedRange<Double>? = nil,
        marks: [(text: String, at: Double)]? = nil
    ) {
        self.name = name
        self.scale = scale
        self.range = range
        self.marks = marks
    }
}

/// Numbers that belong together, drawn in one colour.
public struct Series: Sendable {
    enum Style: Sendable {
        case line, points, lineAndPoints, dashed
    }

    let name: String
    let style: Style
    let points: [(x: Double, y: Double)]

    public static func line(_ name: String, _ points: [(Double, Double)]) -> Series {
        Series(name: name, style: .line, points: points)
    }
    public static func points(_ name: String, _ points: [(Double, Double)]) -> Series {
        Series(name: name, style: .points, points: points)
    }
    public static func lineAndPoints(_ name: String, _ points: [(Double, Double)]) -> Series {
        Series(name: name, style: .lineAndPoints, points: points)
    }
    /// What a theory says, beside what was measured.
    public static func dashed(_ name: String, _ points: [(Double, Double)]) -> Series {
        Series(name: name, style: .dashed, points: points)
    }
}

/// One picture.
public struct Panel: Sendable {
    enum Content: Sendable {
        case chart([Series])
        /// Rows from the top; NaN is left blank.
        case map([[Double]], colour: Axis, numbers: Notation?)
        case bars([(name: String, value: Double)])
    }

    let title: String
    let x: Axis
    let y: Axis
    let content: Content

    /// Series over two axes.
    public static func chart(_ title: String = "", x: Axis, y: Axis, _ series: Series...) -> Panel {
        Panel(title: title, x: x, y: y, content: .chart(series))
    }

    /// Series over two axes.
    public static func chart(_ title: String = "", x: Axis, y: Axis, _ series: [Series]) -> Panel {
        Panel(title: title, x: x, y: y, content: .chart(series))
    }

    /// A matrix as colours, row 1 at the top; NaN is left blank.
    ///
    /// - Parameters:
    ///   - colour: what the numbers are; a logarithmic scale shows their magnitudes.
    ///   - numbers: writes each number into its field.
    public static func map(
        _ title: String = "", x: String, y: String, colour: Axis, _ rows: [[Double]], numbers: Notation? = nil
    ) -> Panel {
        Panel(title: title, x: Axis(x), y: Axis(y), content: .map(rows, colour: colour, numbers: numbers))
    }

    /// Horizontal bars, the first at the top.
    public static func bars(_ title: String = "", x: Axis, _ bars: [(name: String, value: Double)]) -> Panel {
        Panel(title: title, x: x, y: Axis(""), content: .bars(bars))
    }
}

/// Draws a figure, or says why it cannot.
///
/// - Parameters:
///   - name: of its files, unique in the script.
///   - caption: what is to be seen in it, in a sentence or two.
public func figure(_ name: String, _ caption: String, _ panels: Panel..., line: Int = #line) {
    do {
        let names = panels.indices.map { "\(scriptName)-\(name)\(panels.count > 1 ? "-\($0 + 1)" : "").svg" }
        for (panel, file) in zip(panels, names) {
            try Gnuplot.draw(panel, to: Recording.shared.directory.appendingPathComponent(file))
        }
        if !Recording.shared.isOn {
            emit("figure \(name): \(names.map { "site/figures/\($0)" }.joined(separator: ", "))")
        }
        Recording.shared.add(.figure(caption: caption, pictures: names), line: line)
    } catch {
        missing("figure \(name), because \(error.reason)", get: error.remedy, line: line)
    }
}
