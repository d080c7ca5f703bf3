//  A text cut into words as the Penn Treebank is: punctuation apart, contractions in two.
//
//  Only what bears on counting words in capitals matters here: what splits one word in two, in the
//  order in which NLTK's `word_tokenize` splits.

enum TreebankWords {
    private static let rules: [(PythonRegex, String)] = [
        (PythonRegex(ours: "([«“‘„]|[`]+)"), " $1 "),
        (PythonRegex(ours: #"([^\.])(\.)([\]\)}>"'»”’ ]*)\s*$"#), "$1 $2 $3 "),
        (PythonRegex(ours: #"([:,])([^\d])"#), " $1 $2"), (PythonRegex(ours: "([:,])$"), " $1 "),
        (PythonRegex(ours: #"\.{2,}|[;@#$%&\u2012-\u2015]"#), " $0 "),
        (PythonRegex(ours: "[?!]"), " $0 "), (PythonRegex(ours: "([^'])' "), "$1 ' "),
        (PythonRegex(ours: #"[*]|[\]\[\(\)\{\}\<\>]|--"#), " $0 "),
    ]
    private static let endings: [(PythonRegex, String)] = [
        (PythonRegex(ours: "([»”’])"), " $1 "), (PythonRegex(ours: "''|\""), " '' "),
        (PythonRegex(ours: #"\s+"#), " "), (PythonRegex(ours: "([^' ])('[sS]|'[mM]|'[dD]|') "), "$1 $2 "),
        (PythonRegex(ours: "([^' ])('ll|'LL|'re|'RE|'ve|'VE|n't|N'T) "), "$1 $2 "),
        (PythonRegex(ours: #"(?i)\b(can)(not)\b"#), " $1 $2 "), (PythonRegex(ours: #"(?i)\b(d)('ye)\b"#), " $1 $2 "),
        (PythonRegex(ours: #"(?i)\b(gim|lem)(me)\b"#), " $1 $2 "),
        (PythonRegex(ours: #"(?i)\b(gon)(na)\b"#), " $1 $2 "), (PythonRegex(ours: #"(?i)\b(got)(ta)\b"#), " $1 $2 "),
        (PythonRegex(ours: #"(?i)\b(more)('n)\b"#), " $1 $2 "),
        (PythonRegex(ours: #"(?i)\b(wan)(na)(?=\s)"#), " $1 $2 "),
        (PythonRegex(ours: #"(?i) ('t)(is|was)\b"#), " $1 $2 "),
    ]

    static func words(of text: Scalars) -> [Scalars] {
        var text = text
        func apply(_ rules: [(PythonRegex, String)]) {
            for (pattern, template) in rules {
                // The rules are ours and simple: only a text beyond the limit of work stays as it
                // is.
                text = (try? pattern.replacing(in: text, with: template)) ?? text
            }
        }
        apply(rules)
        text = Scalars(" ") + text + Scalars(" ")
        apply(endings)
        return text.words
    }
}
