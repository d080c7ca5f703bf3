//  The layers of a model as a strip, one cell a layer:
//
//      ██▒▒██▒▒██▒▒       on a terminal, coloured
//      *  M2 *  M2        elsewhere

import DualityCore
import Foundation

struct LayerStrip {
    let layers: [LayerKind]
    /// Whether the reader is a terminal, which shows blocks.
    let usesBlocks: Bool
    /// Whether it shows colours as well; people turn them off with the variable NO_COLOR.
    let usesColour: Bool

    init(_ layers: [LayerKind]) {
        self.layers = layers
        let environment = ProcessInfo.processInfo.environment
        usesBlocks = isatty(STDOUT_FILENO) == 1 && environment["TERM"] != "dumb"
        usesColour = usesBlocks && environment["NO_COLOR", default: ""].isEmpty
    }

    /// Rows of cells with the number of their first layer, and a legend with the count of each
    /// kind.
    func lines() -> [String] {
        let cellsPerRow = usesBlocks ? 32 : 16
        var lines = stride(from: 0, to: layers.count, by: cellsPerRow).map { start in
            let number = String(start)
            let cells = layers[start..<min(start + cellsPerRow, layers.count)].map(cell).joined(
                separator: usesBlocks ? "" : " ")
            return "  " + String(repeating: " ", count: max(4 - number.count, 0)) + number + "  " + cells
        }
        let kinds = LayerKind.allCases.filter(layers.contains)
        let legend = kinds.map { kind in
            "\(cell(kind)) \(kind.title) (\(layers.count { $0 == kind }))"
        }
        lines.append("        " + legend.joined(separator: "   "))
        return lines.map { line in String(line.reversed().drop { $0 == " " }.reversed()) }
    }

    private func cell(_ kind: LayerKind) -> String {
        guard usesBlocks else {
            return kind.rawValue.padding(toLength: layers.map(\.rawValue.count).max() ?? 1, withPad: " ", startingAt: 0)
        }
        let (block, colour) =
            switch kind {
            case .attention: ("██", 34)
            case .mamba2: ("▒▒", 32)
            case .gatedDeltaNet: ("▓▓", 33)
            case .gatedKalmaNet: ("░░", 35)
            case .bmojo: ("▚▚", 36)
            case .slidingWindowAttention: ("▄▄", 94)
            }
        return usesColour ? "\u{1B}[\(colour)m\(block)\u{1B}[0m" : block
    }
}

extension LayerKind {
    /// The name people use.
    var title: String {
        switch self {
        case .attention: "attention"
        case .mamba2: "Mamba-2"
        case .gatedDeltaNet: "Gated DeltaNet"
        case .gatedKalmaNet: "Gated KalmaNet"
        case .bmojo: "B'MOJO-F"
        case .slidingWindowAttention: "sliding-window attention"
        }
    }
}
