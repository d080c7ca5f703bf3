//  From schemas that join others to sets of schemas that stand for themselves.
//
//      allOf, $ref      all of them at once
//      anyOf, oneOf     one set for each option
//
//  so that {allOf: [A, {anyOf: [B, C]}]} becomes {A, B} or {A, C}. The order is that of the text.

import DualityCore

extension SchemaDocument {
    /// More sets than this for one value are refused.
    private static let alternativeLimit = 2_000

    /// The sets of schemas of which a value must fit one, each as a whole.
    ///
    /// - Throws: `InputError` for a schema that joins itself with nothing between, and when there
    ///   are too many sets.
    func alternatives(_ nodes: [SchemaNode]) throws(InputError) -> [[SchemaNode]] {
        var result: [[SchemaNode]] = [[]]
        for node in nodes {
            result = try product(result, try alternatives(node, inside: []), node)
        }
        return result
    }

    private func alternatives(
        _ node: SchemaNode, inside outer: [SchemaNode]
    ) throws(InputError) -> [[SchemaNode]] {
        guard !outer.contains(node), outer.count <= Self.depthLimit else {
            throw InputError(
                .unsupported, in: path(node), expected: "a schema that is not itself an option or a part of itself",
                found: "one that is, by $ref, allOf, anyOf or oneOf")
        }
        let parts = try keywords(node).parts
        var result: [[SchemaNode]] = [[]]
        var hasOwn = false
        for part in parts {
            switch part {
            case .own:
                hasOwn = true
                result = try product(result, [[node]], node)
            case .all(let other):
                result = try product(result, try alternatives(other, inside: outer + [node]), node)
            case .any(let options):
                var sets: [[SchemaNode]] = []
                for option in options { sets += try alternatives(option, inside: outer + [node]) }
                result = try product(result, sets, node)
            }
        }
        return hasOwn ? result : try product(result, [[node]], node)
    }

    private func product(
        _ first: [[SchemaNode]], _ second: [[SchemaNode]], _ node: SchemaNode
    ) throws(InputError) -> [[SchemaNode]] {
        guard first.count * second.count <= Self.alternativeLimit else {
            throw InputError(
                .unsupported, in: path(node), expected: "at most \(Self.alternativeLimit) combinations of options",
                found: "\(first.count * second.count)")
        }
        var result: [[SchemaNode]] = []
        for a in first {
            for b in second { result.append(a + b.filter { !a.contains($0) }) }
        }
        return result
    }
}
