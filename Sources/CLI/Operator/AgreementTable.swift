//  The comparison of forms as a table for people: a form a line, the two precisions side by side,
//  and for SSD in float32 the largest error of any number in units of its bound and of its sigma.

import DualityInference
import DualityReference
import DualityVerify
import Foundation

/// Lines such as `chunked Q = 64   5.9e-16   6.6e-16   1.3e-07   1.4e-07   0.21   3.40   PASS`.
enum AgreementTable {
    static func lines(_ rows: [SSDAgreement]) -> [String] {
        lines(
            rows.map {
                Row(
                    label: label($0.form), agreement: ($0.precision, $0.y.error, $0.finalState.error, $0.limit),
                    passes: $0.passes, ratios: [$0.overBound, $0.overSigma].compactMap { $0?.error })
            })
    }

    static func lines(_ rows: [RecurrenceAgreement]) -> [String] {
        lines(
            rows.map {
                Row(
                    label: label($0.form), agreement: ($0.precision, $0.y.error, $0.finalState.error, $0.limit),
                    passes: $0.passes, ratios: [])
            })
    }

    private struct Row {
        let label: String
        let agreement: (precision: String, y: Double, state: Double, limit: Double)
        let passes: Bool
        /// error / bound and error / sigma, where they are known.
        let ratios: [Double]
    }

    private static func lines(_ rows: [Row]) -> [String] {
        let hasRatios = rows.contains { !$0.ratios.isEmpty }
        var table = TextTable([TextTable.Alignment](repeating: .left, count: hasRatios ? 8 : 6))
        table.add("", "float64", "", "float32")
        table.add(["form", "y", "state", "y", "state"] + (hasRatios ? ["/ bound", "/ sigma"] : []))
        table.addRule()
        let double = rows.filter { $0.agreement.precision == "f64" }
        let single = rows.filter { $0.agreement.precision == "f32" }
        for (a, b) in zip(double, single) {
            let ratios = b.ratios.map { String(format: "%.2f", $0) }
            table.add([a.label] + errors(a) + errors(b) + ratios + [a.passes && b.passes ? "PASS" : "FAIL"])
        }
        table.addRule()
        if let a = double.first, let b = single.first {
            let limits = hasRatios ? ["", "1", "\(Int(SSDAgreement.largestSigma))"] : []
            table.add(["limit", number(a.agreement.limit), "", number(b.agreement.limit)] + limits)
        }
        return table.lines()
    }

    /// The form with its parameters.
    static func label(_ form: SSDForm) -> String {
        form.chunkSize.map { "\(form.name) Q = \($0)" } ?? form.name
    }

    static func label(_ form: RecurrenceForm) -> String {
        form.chunkSize.map { "\(form.name) Q = \($0)" } ?? form.name
    }

    private static func errors(_ row: Row) -> [String] {
        if row.label == "recurrent" && row.agreement.precision == "f64" { return ["oracle", "oracle"] }
        return [number(row.agreement.y), number(row.agreement.state)]
    }

    private static func number(_ value: Double) -> String { String(format: "%.1e", value) }
}

extension AgreementTable {
    /// The fast engine against the reference, a precision a line.
    static func lines(_ fast: EngineAgreement) -> [String] {
        var table = TextTable([.left, .right, .right, .left])
        table.add("fast engine, \(fast.tokens) tokens", "logits", "limit")
        table.addRule()
        for row in fast.rows {
            table.add(
                row.precision, String(format: "%.1e", row.error), String(format: "%.1e", row.limit),
                row.passes ? "PASS" : "FAIL")
        }
        table.add("pieces and threads", fast.replays ? "same bits" : "other bits", "", fast.replays ? "PASS" : "FAIL")
        return table.lines()
    }
}
