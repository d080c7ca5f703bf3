//  The files of the checkout, as the tests of the house read them.

import Foundation
import TestSupport

enum Checkout {
    /// The paths below a folder, relative to the root of the checkout, in alphabetical order.
    static func files(below folder: String, ending suffixes: [String]) -> [String] {
        let root = Fixtures.package.path
        let found = FileManager.default.enumerator(atPath: "\(root)/\(folder)")?.compactMap { $0 as? String } ?? []
        return found.filter { name in suffixes.contains { name.hasSuffix($0) } && !name.contains(".build") }
            .map { "\(folder)/\($0)" }.sorted()
    }

    /// A path that is given relative to a folder, relative to the root of the checkout.
    static func path(_ path: String, from folder: String) -> String {
        var parts: [Substring] = []
        for part in "\(folder)/\(path)".split(separator: "/") where part != "." {
            if part == "..", parts.last.map({ $0 != ".." }) ?? false { parts.removeLast() } else { parts.append(part) }
        }
        return parts.joined(separator: "/")
    }

    static func text(_ path: String) throws -> String {
        try String(contentsOf: Fixtures.package.appendingPathComponent(path), encoding: .utf8)
    }

    static func exists(_ path: String) -> Bool {
        FileManager.default.fileExists(atPath: Fixtures.package.appendingPathComponent(path).standardized.path)
    }
}
