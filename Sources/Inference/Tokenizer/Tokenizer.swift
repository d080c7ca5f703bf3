//  Text to token ids and back.
//
//      text -> cut out added tokens -> NFC -> cut out added tokens that are sought in normalised text
//           -> pieces (QwenPretokenizer) -> bytes -> merges (BytePairEncoding) -> ids
//      ids  -> bytes -> text, with U+FFFD for what is not UTF-8
//
//  Source: Hugging Face tokenizers 0.23, compared with it on the conformance cases and on random
//  text from every block of Unicode.

import DualityCore
import Foundation
import Synchronization

/// A byte-level BPE tokenizer of the Qwen2 and Qwen3 families. Safe to use from several threads at
/// once.
public final class Tokenizer: Sendable {
    /// Peculiarities of the file worth telling a person, a sentence each.
    public let warnings: [String]

    private let vocabulary: Vocabulary
    private let merges: MergeTable
    private let byteTokens: [UInt32]
    private let normalizes: Bool
    private let ignoresMerges: Bool
    private let addedTokens: [Int: AddedToken]
    private let addedIDs: [ExactString: Int]
    /// Added tokens sought in the text as given, and in the normalised text.
    private let rawMatcher: AddedTokenMatcher
    private let normalizedMatcher: AddedTokenMatcher
    private let classes = UnicodeClasses.table
    /// Scratch memory not in use at the moment; each call of `encode` takes one and gives it back.
    private let workspaces = Mutex<[TokenizerWorkspace]>([])

    /// Reads the tokenizer of a checkpoint: `tokenizer.json`, or else `vocab.json` with
    /// `merges.txt`, or else the first `*.tiktoken` file in its directory.
    ///
    /// - Throws: `InputError` when there is none, or it is of a kind this class does not do.
    public convenience init(directory: String) throws {
        let json = "\(directory)/tokenizer.json"
        if FileManager.default.fileExists(atPath: json) {
            try self.init(file: json)
            return
        }
        if let file = try VocabularyFiles.tokenizerFile(in: directory) {
            do {
                try self.init(TokenizerFile(file).definition(), path: directory)
            } catch let error as InputError {
                throw error.within(directory)
            }
            return
        }
        let names = (try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? []
        let ranks = names.filter { $0.hasSuffix(".tiktoken") || $0.hasSuffix(".tiktoken.gz") }.sorted()
        guard let name = ranks.first else {
            throw InputError(
                .missingFile, in: directory, expected: "tokenizer.json or a .tiktoken file",
                found: FileManager.default.fileExists(atPath: directory) ? "neither" : "no such directory")
        }
        try self.init(file: "\(directory)/\(name)")
    }

    /// Reads a `tokenizer.json` or one of Qwen's rank files, either of them plain or
    /// gzip-compressed.
    ///
    /// - Throws: `InputError`: `.missingFile`, `.json`, `.malformed`, and `.unsupported` for a
    ///   tokenizer of another kind.
    public convenience init(file path: String) throws {
        var bytes = try MappedFile(path: path).withBytes { Array($0) }
        if bytes.starts(with: [0x1f, 0x8b]) { bytes = try Gzip.decompress(bytes, place: path) }
        let isObject = bytes.first { $0 != 0x20 && !(0x09...0x0d ~= $0) } == UInt8(ascii: "{")
        guard isObject || path.hasSuffix(".json") else {
            try self.init(RankFile(bytes, path: path).definition(), path: path)
            return
        }
        let json = try bytes.withUnsafeBytes { try JSON(parsing: $0, place: path) }
        let definition: TokenizerDefinition
        do {
            definition = try TokenizerFile(json).definition()
        } catch {
            throw error.within(path)
        }
        try self.init(definition, path: path)
    }

    init(_ definition: TokenizerDefinition, path: String) throws {
        var vocabulary = definition.vocabulary
        let byteTokens = (0...255).map { byte in
            withUnsafePointer(to: UInt8(byte)) { vocabulary.id(of: UnsafeBufferPointer(start: $0, count: 1)) }
        }
        // C0, C1 and F5...FF do not occur in UTF-8; a text with any other byte must be encodable.
        if let byte = (0...0xf4).first(where: { byteTokens[$0] == Vocabulary.none && $0 != 0xc0 && $0 != 0xc1 }) {
            throw InputError(
                .unsupported, in: path, expected: "a byte-level vocabulary, with a token for every byte",
                found: "none for the byte 0x\(String(byte, radix: 16))")
        }

        var byID: [Int: AddedToken] = [:]
        var byContent: [ExactString: Int] = [:]
        var raw = AddedTokenMatcher()
        var normalized = AddedTokenMatcher()
        let composition = CanonicalComposition(classes: classes)
        for token in definition.addedTokens where !token.content.isEmpty {
            // A vocabulary may list its added tokens too; then both must be the same token.
            let fits = withUTF8(token.content) { content in
                if vocabulary.insert(content, id: token.id, isFound: false) { return true }
                var bytes: [UInt8] = []
                _ = ByteAlphabet.decode(content, into: &bytes)
                return vocabulary.bytes(of: token.id).elementsEqual(bytes)
            }
            guard fits else {
                throw InputError(
                    .value, in: "\(path): added_tokens", expected: "an identifier of its own for \(token.content)",
                    found: "\(token.id), which another token has")
            }
            byID[token.id] = token
            byContent[ExactString(token.content)] = token.id
            if token.isNormalized && definition.normalizes {
                let form = withUTF8(token.content) { composition.normalized($0) ?? Array($0) }
                normalized.insert(token, form: form)
            } else if token.isNormalized {
                normalized.insert(token, form: token.content.utf8)
            } else {
                raw.insert(token, form: token.content.utf8)
            }
        }

        self.vocabulary = vocabulary
        self.byteTokens = byteTokens
        merges = definition.merges
        normalizes = definition.normalizes
        ignoresMerges = definition.ignoresMerges
        warnings = definition.warnings
        addedTokens = byID
        addedIDs = byContent
        rawMatcher = raw
        normalizedMatcher = normalized
    }

    // MARK: Looking at the vocabulary

    /// One more than the largest identifier, added tokens included.
    public var vocabularySize: Int { vocabulary.limit }

    /// Whether a token has this identifier; a vocabulary may have gaps.
    public func contains(_ id: Int) -> Bool { vocabulary.contains(id) }

    /// The first identifier that stands for something else in another tokenizer; nil when both have
    /// the same tokens.
    public func firstDifference(from other: Tokenizer) -> Int? {
        (0..<max(vocabularySize, other.vocabularySize)).first { id in
            let (isHere, isThere) = (contains(id), other.contains(id))
            return isHere != isThere || isHere && !bytes(of: id).elementsEqual(other.bytes(of: id))
        }
    }

    /// How many rows a model may have for these tokens: their number, filled up to a multiple of
    /// 512.
    public var largestModelRows: Int { (vocabularySize + 511) / 512 * 512 }

    /// The identifier of the token that stands for exactly this text: an added token such as
    /// `<|im_end|>`, or else one of the vocabulary such as ` the`.
    public func id(of text: String) -> Int? {
        if let id = addedIDs[ExactString(text)] { return id }
        let id = withUTF8(text) { vocabulary.id(of: $0) }
        return id == Vocabulary.none ? nil : Int(id)
    }

    /// Whether a token marks structure rather than text, as `<|im_end|>` does.
    public func isSpecial(_ id: Int) -> Bool { addedTokens[id]?.isSpecial ?? false }

    /// The bytes a token stands for, which need not be whole characters.
    ///
    /// - Precondition: `contains(id)`.
    public func bytes(of id: Int) -> ArraySlice<UInt8> { vocabulary.bytes(of: id) }

    // MARK: Decoding

    /// The text of a sequence of tokens, with U+FFFD for bytes that are not UTF-8.
    ///
    /// - Parameters:
    ///   - skipSpecial: leaves special tokens out.
    ///   - rows: how many rows a model has; those beyond the tokens stand for no text. Without it
    ///     every identifier must be a token's.
    /// - Throws: `InputError` (`.value`) for an identifier that no token and no row has.
    public func decode(_ ids: [Int], skipSpecial: Bool = false, rows: Int? = nil) throws(InputError) -> String {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(ids.count * 4)
        for (index, id) in ids.enumerated() {
            guard vocabulary.contains(id) else {
                if let rows, 0..<max(rows, vocabularySize) ~= id { continue }
                throw InputError(
                    .value, in: "token \(index)",
                    expected: "an identifier of the vocabulary, 0..<\(max(rows ?? 0, vocabularySize))", found: "\(id)")
            }
            if skipSpecial && isSpecial(id) { continue }
            bytes.append(contentsOf: vocabulary.bytes(of: id))
        }
        return UTF8Stream.decode(bytes)
    }

    // MARK: Encoding

    /// The tokens of a text. Nothing is added in front or behind.
    ///
    /// - Parameter allowSpecial: whether special tokens written in the text, such as `<|im_end|>`,
    ///   become those tokens; if not, they are text like any other. Added tokens that are not
    ///   special, such as `<think>`, are found either way.
    /// - Complexity: O(n), and O(m log m) for a piece of m bytes without a place to cut.
    public func encode(_ text: String, allowSpecial: Bool = true) -> [Int] {
        encode(text, allowSpecial ? .everywhere : .nowhere)
    }

    /// The tokens of a text in which special tokens are sought outside of some ranges only.
    ///
    /// The text is cut nowhere else on their account: a word may begin in front of a range and end
    /// inside it.
    ///
    /// - Parameter textOnly: ranges of UTF-8 offsets, ascending; a special token that is written in
    ///   or across one is text.
    /// - Complexity: as `encode(_:allowSpecial:)`.
    public func encode(_ text: String, asTextOnly textOnly: [Range<Int>]) -> [Int] {
        encode(text, textOnly.isEmpty ? .everywhere : .outside(textOnly))
    }

    private func encode(_ text: String, _ places: SpecialTokenPlaces) -> [Int] {
        var workspace = workspaces.withLock { $0.popLast() } ?? TokenizerWorkspace()
        withUTF8(text) { encode($0, places, &workspace) }
        let ids = workspace.tokens.map { Int($0) }
        workspace.tokens.removeAll(keepingCapacity: true)
        // What a very long text needed is not kept.
        if ids.count < 1 << 20 { workspaces.withLock { $0.append(workspace) } }
        return ids
    }

    private func encode(
        _ input: UnsafeBufferPointer<UInt8>, _ places: SpecialTokenPlaces, _ workspace: inout TokenizerWorkspace
    ) {
        let composition = CanonicalComposition(classes: classes)
        for segment in rawMatcher.split(input, places) {
            switch segment {
            case .token(let id):
                workspace.tokens.append(UInt32(id))
            case .text(let range):
                let text = UnsafeBufferPointer(rebasing: input[range])
                let places = places.within(range)
                if normalizes, let normalized = composition.normalized(text) {
                    // Normalisation moves offsets, which matters to tokens sought behind it.
                    let places =
                        normalizedMatcher.isEmpty
                        ? .everywhere
                        : places.mapped { offset in
                            let prefix = UnsafeBufferPointer(rebasing: text[..<offset])
                            return composition.normalized(prefix)?.count ?? offset
                        }
                    normalized.withUnsafeBufferPointer { encodeNormalized($0, places, &workspace) }
                } else {
                    encodeNormalized(text, places, &workspace)
                }
            }
        }
    }

    private func encodeNormalized(
        _ input: UnsafeBufferPointer<UInt8>, _ places: SpecialTokenPlaces, _ workspace: inout TokenizerWorkspace
    ) {
        for segment in normalizedMatcher.split(input, places) {
            switch segment {
            case .token(let id): workspace.tokens.append(UInt32(id))
            case .text(let range): encodePieces(UnsafeBufferPointer(rebasing: input[range]), &workspace)
            }
        }
    }

    private func encodePieces(_ input: UnsafeBufferPointer<UInt8>, _ workspace: inout TokenizerWorkspace) {
        classes.withUnsafeBufferPointer { classes in
            for range in QwenPretokenizer(input, classes: classes) {
                let piece = UnsafeBufferPointer(rebasing: input[range])
                if piece.count > WordCache.longestPiece {
                    encodePiece(piece, &workspace)
                    continue
                }
                let hash = hash(of: piece)
                if workspace.cache.find(piece, hash: hash, into: &workspace.tokens) { continue }
                let start = workspace.tokens.count
                encodePiece(piece, &workspace)
                workspace.cache.insert(piece, hash: hash, tokens: workspace.tokens[start...])
            }
        }
    }

    private func encodePiece(_ piece: UnsafeBufferPointer<UInt8>, _ workspace: inout TokenizerWorkspace) {
        if ignoresMerges, case let id = vocabulary.id(of: piece), id != Vocabulary.none {
            workspace.tokens.append(id)
            return
        }
        workspace.encoding.encode(piece, byteTokens: byteTokens, merges: merges, into: &workspace.tokens)
    }
}
