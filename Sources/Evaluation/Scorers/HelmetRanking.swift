//  A ranking of passages in a text, and its normalised discounted gain at 10.
//
//      gain(r) = Σ_{i<=10} label(r_i) / log2(i + 1),     NDCG@10 = gain(ranking) / gain(ideal)

import DualityCore
import Foundation

enum HelmetRanking {
    private static let list = PythonRegex(ours: #"\d+(?:\s*>\s*\d+)*"#)

    /// The ids of the longest list `7 > 3 > 9`, the first of equal ones; each at its first place.
    static func ranking(_ output: Scalars) throws(InputError) -> [String] {
        let text = output.filter { !["[", "]", ":"].contains($0) }.lowered.replacing("id", with: "")
        var longest: Scalars = []
        for match in try list.matches(in: text) where match.range.count > longest.count {
            longest = Scalars(text[match.range])
        }
        var ids: [String] = []
        for piece in longest.pieces(separatedBy: ">") {
            let id = piece.stripped().text
            if !id.isEmpty, !ids.contains(id) { ids.append(id) }
        }
        return ids
    }

    /// NDCG@10 against `qrel`, pairs of id and label.
    static func gain(_ output: Scalars, _ doc: JSONFields) throws(InputError) -> Double {
        var labels: [String: Double] = [:]
        guard let pairs = try doc.array("qrel") else { throw doc.missing("qrel", "a list of [id, label]") }
        for (i, pair) in pairs.enumerated() {
            guard let items = pair.array, items.count == 2, let label = Double(items[1].plainText) else {
                throw InputError(
                    .json, in: "\(doc.place(of: "qrel"))[\(i)]", expected: "[id, label]", found: pair.kindName)
            }
            labels[items[0].plainText] = label
        }
        func sum(_ gains: [Double]) -> Double {
            gains.prefix(10).enumerated().reduce(0) { $0 + max($1.element, 0) / log2(Double($1.offset) + 2) }
        }
        let ideal = sum(labels.values.sorted(by: >))
        return ideal > 0 ? sum(try ranking(output).map { labels[$0] ?? 0 }) / ideal : 0
    }
}
