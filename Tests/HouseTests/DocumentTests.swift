import Foundation
import TestSupport
import Testing

/// Pages lead where they say, and name files that are there.
@Suite struct DocumentTests {
    static let pages =
        ["README.md", "Notebooks-as-scripts/README.md", "Models/duality-tiny/README.md", "python/README.md"]
        .filter(Checkout.exists) + Checkout.files(below: "docs", ending: [".md"])

    /// The anchors that a page's headings have on the usual hosts.
    private func anchors(_ text: String) -> Set<String> {
        Set(
            text.split(separator: "\n").filter { $0.hasPrefix("#") }.map { heading in
                let words = heading.drop { $0 == "#" }.lowercased().trimmingCharacters(in: .whitespaces)
                return String(
                    words.compactMap { $0 == " " ? "-" : $0.isLetter || $0.isNumber || "-_".contains($0) ? $0 : nil })
            })
    }

    @Test(arguments: pages) func everyLinkLeadsSomewhere(page: String) throws {
        let text = try Checkout.text(page)
        let folder = (page as NSString).deletingLastPathComponent
        for link in text.matches(of: /\]\(([^)\s]+)\)/).map({ String($0.1) }) where !link.contains("://") {
            let parts = link.split(separator: "#", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            let target = parts[0].isEmpty ? page : Checkout.path(parts[0], from: folder)
            #expect(Checkout.exists(target), "\(page) links to \(link)")
            if parts.count == 2, Checkout.exists(target), target.hasSuffix(".md") {
                let found = anchors(try Checkout.text(target))
                #expect(found.contains(parts[1]), "\(page) links to \(link); the headings are \(found.sorted())")
            }
        }
    }

    /// A path in code quotes that begins at the root of the checkout.
    @Test(arguments: pages) func everyNamedFileIsThere(page: String) throws {
        let text = try Checkout.text(page)
        for path in text.matches(of: /`((?:Sources|Tests|docs|Benchmarks|Notebooks-as-scripts|Models)\/[^`\s*…]*)`/)
            .map({ String($0.1) })
        {
            #expect(Checkout.exists(path), "\(page) names \(path)")
        }
    }

    @Test func everyPageIsReachedFromTheIndex() throws {
        var reached: Set<String> = []
        var open = ["docs/README.md"]
        while let page = open.popLast() {
            guard reached.insert(page).inserted else { continue }
            let folder = (page as NSString).deletingLastPathComponent
            for link in try Checkout.text(page).matches(of: /\]\(([^)#\s]+\.md)[^)]*\)/).map({ String($0.1) }) {
                let target = Checkout.path(link, from: folder)
                if Checkout.exists(target) { open.append(target) }
            }
        }
        let lost = Checkout.files(below: "docs", ending: [".md"]).filter { !reached.contains($0) }
        #expect(lost.isEmpty, "no page leads to \(lost)")
    }
}
