//  The comparison of forms as a table for people: a form a line, the two precisions side by side.

import DualityReference
import Foundation

/// Lines such as `chunked Q = 64   5.9e-16   6.6e-16   1.3e-07   1.4e-07   PASS`.
enum AgreementTable {
    static func lines(_ rows: [SSDAgreement]) -> [String] {
        var table = TextTable([.left, .left, .left, .left, .left, .left])
        table.add("", "float64", "", "float32")
        table.add("form", "y", "state", "y", "state")
        table.addRule()
        let double = rows.filter { $0.precision == "f64" }
        let single = rows.filter { $0.precision == "f32" }
        for (a, b) in zip(double, single) {
            table.add([label(a.form)] + errors(a) + errors(b) + [a.passes && b.passes ? "PASS" : "FAIL"])
        }
        table.addRule()
        if let a = double.first, let b = single.first {
            table.add("limit", number(a.limit), "", number(b.limit))
        }
        return table.lines()
    }

    /// The form with its parameters.
    static func label(_ form: SSDForm) -> String {
        form.chunkSize.map { "\(form.name) Q = \($0)" } ?? form.name
    }

    private static func errors(_ row: SSDAgreement) -> [String] {
        if row.form == .recurrent && row.precision == "f64" { return ["oracle", "oracle"] }
        return [number(row.y.error), number(row.finalState.error)]
    }

    private static func number(_ value: Double) -> String { String(format: "%.1e", value) }
}
