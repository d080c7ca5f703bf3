import Foundation
import TestSupport
import Testing

@testable import DualityVerify

/// The table of faults in docs/verify.md is that of the code.
@Suite struct FaultTableTests {
    @Test func theTableListsEveryFaultAsTheCodeHasIt() throws {
        let text = try String(
            contentsOf: Fixtures.package.appendingPathComponent("docs/verify.md"), encoding: .utf8)
        let section = try #require(text.range(of: "## All faults"))
        let rows = text[section.upperBound...].split(separator: "\n").filter { $0.hasPrefix("| `") }
        let wanted = FaultCatalog.all.map {
            "| `\($0.name)` | \($0.kinds) | \($0.summary.replacingOccurrences(of: "|", with: "\\|")) |"
        }
        #expect(rows.count == wanted.count, "\(rows.count) rows for \(wanted.count) faults")
        for row in wanted { #expect(rows.count { $0.hasPrefix(row) } == 1, "\(row)") }
        for row in rows { #expect(wanted.contains { row.hasPrefix($0) }, "\(row)") }
    }

    @Test func namesOfFaultsAreUnique() {
        let names = FaultCatalog.all.map(\.name)
        #expect(Set(names).count == names.count)
    }
}
