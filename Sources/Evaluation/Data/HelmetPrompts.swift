//  How HELMET's rows are worded: ours, or the official wording of a file that the user has.
//
//      prompt = template with {demos}, {context}, {question}
//
//  Where prompt and answer exceed the length, the tail of the context is cut by as many tokens.

import DualityCore
import DualityInference
import DualityVerify

package struct HelmetPrompts {
    /// Templates in place of ours, by kind; nil for ours.
    let templates: [String: String]?
    let tokenizer: Tokenizer

    private static let own = [
        "json_kv":
            "{context}\n\nThe JSON object above has a value for the key below. Write that value.\n\n{demos}Key: {question}\nCorresponding value:",
        "rag":
            "The documents below answer a question. Give a short answer, in this form:\nAnswer: [answer]\n\n{demos}{context}\n\nQuestion: {question}\nAnswer:",
        "rerank":
            "Every document below has an ID. Put all of them in order, the one that answers the query best first, in this form:\nRanking: ID3 > ID1 > ID2\n\n{demos}{context}\n\nQuery: {question}\nRanking:",
        "icl":
            "Every text below stands before its label, a number. Find out what the labels mean and give the last text its own, in this form and without another word:\nlabel: [label]\n\n{context}\n\n{question}\nlabel:",
        "niah":
            "The text below holds a special magic {type_needle_v}.\n{context}\nWhat is the special magic {type_needle_v} for {query}?\nThe special magic {type_needle_v} for {query} is",
        "niah_mv":
            "The text below holds special magic {type_needle_v}.\n{context}\nWhat are all the special magic {type_needle_v} for {query}?\nThe special magic {type_needle_v} for {query} are",
    ]

    /// The first digits of SHA-256 of the official templates: user's part, line feed, answer's
    /// beginning.
    private static let officialHashes = [
        "json_kv": "81486db7cf08bb91", "rag": "405aebdfa49dcd32", "rerank": "add207872c2cee1b",
        "icl": "e69d336942cf2385", "niah": "d813e9961330e9f0", "niah_mv": "36d24e349c6064f6",
    ]

    /// Templates of a file that the user has.
    ///
    /// - Throws: `InputError` for one that is not the official one, or for a file without any.
    package static func official(_ file: JSONFields) throws(InputError) -> [String: String] {
        var found: [String: String] = [:]
        for (kind, expected) in officialHashes.sorted(by: { $0.key < $1.key }) {
            guard var text = try file.string(kind) else { continue }
            let hash = text.withUTF8 { sha256(UnsafeRawBufferPointer($0)) }
            guard hash.hasPrefix(expected) else {
                throw InputError(
                    .value, in: file.place(of: kind), expected: "the official template (SHA-256 \(expected)…)",
                    found: "another one (\(hash.prefix(16))…)", remedy: "Use --template own for other wording.")
            }
            found[kind] = text
        }
        guard !found.isEmpty else {
            throw InputError(
                .missing, in: file.place,
                expected: "official templates: \(officialHashes.keys.sorted().joined(separator: ", "))", found: "none")
        }
        return found
    }

    /// The prompt of a row, of at most `room` tokens.
    ///
    /// - Throws: `InputError` (`.missing`) where official templates lack the row's kind.
    func text(
        _ kind: String, context: String, fields: [(String, String)], room: Int
    ) throws(InputError) -> String {
        guard let template = (templates ?? Self.own)[kind] else {
            throw InputError(
                .missing, in: "helmet/prompts.json: \(kind)", expected: "the official template", found: "nothing",
                remedy: "Add it, or use --template own.")
        }
        let halves = Scalars(template).pieces(separatedBy: "{context}").map { Self.filled($0, fields).text }
        let whole = halves.joined(separator: context)
        let excess = tokenizer.encode(whole, allowSpecial: false).count - room
        guard excess > 0 else { return whole }
        let kept = tokenizer.encode(context, allowSpecial: false).dropLast(excess)
        return halves.joined(separator: try tokenizer.decode(Array(kept)))
    }

    /// `str.format`: fields in place of their names, doubled braces as braces.
    private static func filled(_ template: Scalars, _ fields: [(String, String)]) -> Scalars {
        let marks =
            fields.map { (mark: Scalars("{\($0.0)}"), text: Scalars($0.1)) }
            + ["{", "}"].map { (mark: Scalars($0 + $0), text: Scalars($0)) }
        var result: Scalars = []
        var rest = template[...]
        while let first = rest.first {
            if let (mark, text) = marks.first(where: { rest.starts(with: $0.mark) }) {
                result += text
                rest = rest.dropFirst(mark.count)
            } else {
                result.append(first)
                rest = rest.dropFirst()
            }
        }
        return result
    }
}
