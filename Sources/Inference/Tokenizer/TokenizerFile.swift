//  Reads a tokenizer.json: which kind of tokenizer it describes, its vocabulary, merges and added
//  tokens.
//
//  The file can describe many kinds. This reader knows one, the byte-level BPE of the Qwen2 and
//  Qwen3 families, and makes sure of it: every option that would change a token is either
//  understood or refused by name. What concerns padding, truncation and offsets does not change the
//  tokens of a text and is left unread.
//
//  Source of the format: Hugging Face tokenizers 0.23.

import DualityCore

/// Everything a tokenizer needs to know, from whichever file.
struct TokenizerDefinition {
    var vocabulary: Vocabulary
    var merges: MergeTable
    var addedTokens: [AddedToken]
    /// Whether text is brought into normalisation form C.
    var normalizes = true
    /// Whether a piece that is a token is that token, whatever the merges say.
    var ignoresMerges = false
    /// Peculiarities worth telling a person, a sentence each.
    var warnings: [String] = []
}

/// The reader of tokenizer.json.
struct TokenizerFile {
    /// Identifiers are at most this large: ten times the largest vocabulary in use.
    private static let largestID = 1 << 22

    private let root: JSON

    init(_ root: JSON) {
        self.root = root
    }

    /// - Throws: `InputError`: `.unsupported` for a tokenizer of another kind, `.json` and `.value`
    ///   for a broken file.
    func definition() throws(InputError) -> TokenizerDefinition {
        guard case .object = root else { throw Self.wrongType("an object", root, at: "the file") }
        let model = root["model"] ?? .null
        try checkModel(model)
        try checkPretokenizer(root["pre_tokenizer"])
        try checkPostprocessor(root["post_processor"])
        try checkDecoder(root["decoder"])
        let vocabulary = try Self.vocabulary(model)
        return TokenizerDefinition(
            vocabulary: vocabulary,
            merges: try Self.merges(model, vocabulary),
            addedTokens: try addedTokens(),
            normalizes: try normalizes(root["normalizer"]),
            ignoresMerges: model["ignore_merges"]?.bool ?? false)
    }

    // MARK: What kind it is

    private func checkModel(_ model: JSON) throws(InputError) {
        guard case .object = model else { throw Self.wrongType("an object", model, at: "model") }
        // Files of before 2020 do not name the type; merges give a BPE away.
        let type = model["type"]?.string ?? (model["merges"] == nil ? "no type" : "BPE")
        guard type == "BPE" else { throw Self.unsupported("model.type", "BPE", type) }
        if let dropout = model["dropout"], dropout != .null, dropout.double != 0 {
            throw Self.unsupported("model.dropout", "none", Self.brief(dropout))
        }
        for key in ["continuing_subword_prefix", "end_of_word_suffix"] {
            if let affix = model[key], affix != .null, affix.string != "" {
                throw Self.unsupported("model.\(key)", "none", Self.brief(affix))
            }
        }
    }

    private func normalizes(_ normalizer: JSON?) throws(InputError) -> Bool {
        guard let normalizer, normalizer != .null else { return false }
        switch normalizer["type"]?.string {
        case "NFC":
            return true
        case "Sequence":
            var found = false
            for step in normalizer["normalizers"]?.array ?? [] {
                if try normalizes(step) { found = true }
            }
            return found
        default:
            throw Self.unsupported("normalizer", "NFC or none", Self.brief(normalizer))
        }
    }

    private func checkPretokenizer(_ pretokenizer: JSON?) throws(InputError) {
        let place = "pre_tokenizer"
        let steps = Self.steps(pretokenizer, "pretokenizers")
        let expected = "Split by the Qwen2 pattern, then ByteLevel"
        guard steps.map({ $0["type"]?.string }) == ["Split", "ByteLevel"] else {
            throw Self.unsupported(place, expected, Self.brief(pretokenizer ?? .null))
        }
        let split = steps[0]
        guard split["pattern"]?["Regex"]?.string == QwenPretokenizer.pattern else {
            throw Self.unsupported("\(place).pattern", QwenPretokenizer.pattern, Self.brief(split["pattern"] ?? .null))
        }
        let behavior = split["behavior"]?.string ?? "none"
        guard behavior == "Isolated" else { throw Self.unsupported("\(place).behavior", "Isolated", behavior) }
        for (step, option) in [(0, "invert"), (1, "use_regex"), (1, "add_prefix_space")] {
            // An absent `use_regex` or `add_prefix_space` is on.
            let value = steps[step][option]?.bool ?? (step == 1)
            if value { throw Self.unsupported("\(place).\(option)", "false", "true") }
        }
    }

    private func checkPostprocessor(_ postprocessor: JSON?) throws(InputError) {
        for step in Self.steps(postprocessor, "processors") {
            switch step["type"]?.string {
            case "ByteLevel":
                continue
            case "TemplateProcessing" where step["special_tokens"]?.object?.count == 0:
                continue
            default:
                throw Self.unsupported("post_processor", "one that adds no tokens", Self.brief(step))
            }
        }
    }

    private func checkDecoder(_ decoder: JSON?) throws(InputError) {
        guard Self.steps(decoder, "decoders").map({ $0["type"]?.string }) == ["ByteLevel"] else {
            throw Self.unsupported("decoder", "ByteLevel", Self.brief(decoder ?? .null))
        }
    }

    /// The steps of a component: those of a `Sequence`, or itself, or none for null.
    private static func steps(_ component: JSON?, _ key: String) -> [JSON] {
        guard let component, component != .null else { return [] }
        return component["type"]?.string == "Sequence" ? component[key]?.array ?? [] : [component]
    }

    // MARK: Its tables

    private static func vocabulary(_ model: JSON) throws(InputError) -> Vocabulary {
        guard let entries = model["vocab"]?.object else {
            throw wrongType("an object", model["vocab"], at: "model.vocab")
        }
        var vocabulary = Vocabulary(expectedCount: entries.count)
        var bytes: [UInt8] = []
        for (token, value) in entries.members {
            guard let id = value.int, 0...largestID ~= id else {
                throw InputError(
                    .value, in: "model.vocab: \(token.debugDescription)", expected: "an identifier in 0...\(largestID)",
                    found: value.kindName)
            }
            bytes.removeAll(keepingCapacity: true)
            let isInAlphabet = withUTF8(token) { ByteAlphabet.decode($0, into: &bytes) }
            // A token with other characters can be decoded and not be reached by merging.
            guard bytes.withUnsafeBufferPointer({ vocabulary.insert($0, id: id, isFound: isInAlphabet) }) else {
                throw InputError(
                    .value, in: "model.vocab: \(token.debugDescription)", expected: "an identifier of its own",
                    found: "\(id), which another token has")
            }
        }
        return vocabulary
    }

    private static func merges(_ model: JSON, _ vocabulary: Vocabulary) throws(InputError) -> MergeTable {
        guard let entries = model["merges"]?.array else {
            throw wrongType("an array", model["merges"], at: "model.merges")
        }
        var table = MergeTable(expectedCount: entries.count)
        var bytes: [UInt8] = []
        for (rank, entry) in entries.enumerated() {
            guard let (left, right) = parts(of: entry) else {
                throw wrongType("\"left right\" or [\"left\", \"right\"]", entry, at: "model.merges[\(rank)]")
            }
            bytes.removeAll(keepingCapacity: true)
            var isInAlphabet = withUTF8(left) { ByteAlphabet.decode($0, into: &bytes) }
            let middle = bytes.count
            isInAlphabet = withUTF8(right) { ByteAlphabet.decode($0, into: &bytes) } && isInAlphabet
            let tokens = bytes.withUnsafeBufferPointer { bytes in
                (
                    left: vocabulary.id(of: UnsafeBufferPointer(rebasing: bytes[..<middle])),
                    right: vocabulary.id(of: UnsafeBufferPointer(rebasing: bytes[middle...])),
                    both: vocabulary.id(of: bytes)
                )
            }
            guard isInAlphabet, ![tokens.left, tokens.right, tokens.both].contains(Vocabulary.none) else {
                throw InputError(
                    .value, in: "model.merges[\(rank)]", expected: "two tokens of the vocabulary that make a third",
                    found: "\(left.debugDescription) and \(right.debugDescription)")
            }
            table.insert(tokens.left, tokens.right, rank: rank, token: tokens.both)
        }
        return table
    }

    /// The two tokens of a merge; older files write them as one string with a space, which no token
    /// contains.
    private static func parts(of merge: JSON) -> (left: String, right: String)? {
        switch merge {
        case .string(let text):
            let parts = text.split(separator: " ", omittingEmptySubsequences: false)
            return parts.count == 2 ? (String(parts[0]), String(parts[1])) : nil
        case .array(let parts) where parts.count == 2:
            guard let left = parts[0].string, let right = parts[1].string else { return nil }
            return (left, right)
        default:
            return nil
        }
    }

    private func addedTokens() throws(InputError) -> [AddedToken] {
        guard let list = root["added_tokens"], list != .null else { return [] }
        guard let entries = list.array else { throw Self.wrongType("an array", list, at: "added_tokens") }
        var tokens: [AddedToken] = []
        for (index, entry) in entries.enumerated() {
            let place = "added_tokens[\(index)]"
            guard let content = entry["content"]?.string, let id = entry["id"]?.int, 0...Self.largestID ~= id else {
                throw Self.wrongType("an object with content and id", entry, at: place)
            }
            let isSpecial = entry["special"]?.bool ?? false
            tokens.append(
                AddedToken(
                    id: id, content: content, isSpecial: isSpecial,
                    stripsLeft: entry["lstrip"]?.bool ?? false,
                    stripsRight: entry["rstrip"]?.bool ?? false,
                    isSingleWord: entry["single_word"]?.bool ?? false,
                    isNormalized: entry["normalized"]?.bool ?? !isSpecial))
        }
        return tokens
    }

    // MARK: Complaints

    private static func unsupported(_ place: String, _ expected: String, _ found: String) -> InputError {
        InputError(
            .unsupported, in: place, expected: expected, found: found,
            remedy: "This program reads the byte-level BPE tokenizers of the Qwen2 and Qwen3 families.")
    }

    private static func wrongType(_ expected: String, _ found: JSON?, at place: String) -> InputError {
        InputError(.json, in: place, expected: expected, found: found?.kindName ?? "nothing")
    }

    /// A component in a line: its JSON, cut short.
    private static func brief(_ component: JSON) -> String {
        let text = component.serialized()
        return text.count <= 160 ? text : "\(text.prefix(160))…"
    }
}

/// Calls `body` with the UTF-8 of a string that need not be contiguous.
func withUTF8<Result>(_ text: String, _ body: (UnsafeBufferPointer<UInt8>) -> Result) -> Result {
    var text = text
    return text.withUTF8(body)
}
