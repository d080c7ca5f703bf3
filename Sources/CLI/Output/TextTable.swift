//  Tables for people: aligned columns, thousands separators, binary units.

/// Rows of cells, printed with every column as wide as its widest cell.
struct TextTable {
    enum Alignment {
        case left
        case right
    }

    private let alignments: [Alignment]
    private var rows: [[String]?] = []

    /// - Parameter alignments: one per column.
    init(_ alignments: [Alignment]) {
        self.alignments = alignments
    }

    mutating func add(_ cells: String...) {
        rows.append(cells)
    }

    mutating func add(_ cells: [String]) {
        rows.append(cells)
    }

    /// Adds a line across the table.
    mutating func addRule() {
        rows.append(nil)
    }

    /// The lines, indented by two, without spaces at their ends.
    func lines() -> [String] {
        let cells = rows.compactMap { $0 }
        let widths = alignments.indices.map { column in
            cells.map { column < $0.count ? $0[column].count : 0 }.max() ?? 0
        }
        let total = widths.reduce(0, +) + 2 * max(widths.count - 1, 0)
        return rows.map { row in
            guard let row else { return "  " + String(repeating: "-", count: total) }
            var line = " "
            for (column, cell) in row.enumerated() {
                let space = String(repeating: " ", count: widths[column] - cell.count)
                line += (column == 0 ? " " : "  ") + (alignments[column] == .left ? cell + space : space + cell)
            }
            while line.last == " " { line.removeLast() }
            return line
        }
    }
}

extension Int {
    /// The number with a comma every three digits: `8,495,712,960`.
    var grouped: String {
        let digits = String(magnitude)
        var text = ""
        for (i, digit) in digits.enumerated() {
            if i > 0 && (digits.count - i) % 3 == 0 { text += "," }
            text.append(digit)
        }
        return (self < 0 ? "-" : "") + text
    }

    /// The number of bytes in the largest binary unit that keeps it at 1 or more, to three to five
    /// digits: `2.25 GiB`.
    var binaryUnits: String {
        var value = Double(self)
        var units = ["bytes", "KiB", "MiB", "GiB", "TiB", "PiB"][...]
        while value >= 1024 && units.count > 1 {
            value /= 1024
            units = units.dropFirst()
        }
        if value == value.rounded() && (units.startIndex == 0 || value >= 10) {
            return "\(Int(value)) \(units.first ?? "")"
        }
        return "\(value.decimals(value < 100 ? 2 : 1)) \(units.first ?? "")"
    }
}

extension Double {
    /// The number with a fixed count of digits after the point.
    func decimals(_ count: Int) -> String {
        let scale = (0..<count).reduce(1) { product, _ in product * 10 }
        let scaled = Int((self * Double(scale)).rounded())
        let fraction = String(scaled.magnitude % scale.magnitude)
        let sign = scaled < 0 ? "-" : ""
        guard count > 0 else { return "\(scaled)" }
        return
            "\(sign)\(scaled.magnitude / scale.magnitude).\(String(repeating: "0", count: count - fraction.count))\(fraction)"
    }
}
