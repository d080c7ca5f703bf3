//  Reads Qwen's own vocabulary, `qwen.tiktoken`: a line `base64-bytes rank` for each token.
//
//  A token's rank is its identifier, and two adjacent tokens merge when their bytes together are a
//  token; the lowest rank goes first. Written as rules for pairs, a token has one for each way to
//  cut it into two tokens. The file says nothing of the pattern, the normaliser and the added
//  tokens: those of the Qwen3 family are taken, whose identifiers follow the ranks. Rank files of
//  other families are known by their size and refused.
//
//  Source: Qwen tokenization_note.md; the added tokens are those of Qwen3's tokenizer.json.

import DualityCore

struct RankFile {
    /// Added tokens of Qwen3 in the order of their identifiers; the first fourteen are special.
    static let addedTokens = [
        "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>", "<|box_start|>",
        "<|box_end|>", "<|quad_start|>", "<|quad_end|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>",
        "<|image_pad|>", "<|video_pad|>", "<tool_call>", "</tool_call>", "<|fim_prefix|>", "<|fim_middle|>",
        "<|fim_suffix|>", "<|fim_pad|>", "<|repo_name|>", "<|file_sep|>", "<tool_response>", "</tool_response>",
        "<think>", "</think>",
    ]
    private static let specialCount = 14

    /// Ranks in Qwen's file.
    private static let qwenCount = 151_643
    /// Ranks in well-known files of other families.
    private static let otherFamilies = [
        50_256: "GPT-2 (r50k_base)", 50_280: "p50k_base", 100_256: "GPT-4 (cl100k_base)", 128_000: "Llama 3",
        199_998: "GPT-4o (o200k_base)",
    ]

    private let path: String
    private let bytes: [UInt8]

    /// - Parameters:
    ///   - bytes: the file, decompressed.
    ///   - path: what it is called in complaints.
    init(_ bytes: [UInt8], path: String) {
        self.path = path
        self.bytes = bytes
    }

    /// - Throws: `InputError` for a line that is no rank, ranks that are not 0, 1, 2, ..., or a
    ///   file of another family.
    func definition() throws(InputError) -> TokenizerDefinition {
        var vocabulary = Vocabulary(expectedCount: Self.qwenCount)
        var line = 0
        var position = 0
        var token: [UInt8] = []
        while position < bytes.count {
            let end = bytes[position...].firstIndex(of: UInt8(ascii: "\n")) ?? bytes.count
            line += 1
            let contents = bytes[position..<end]
            position = end + 1
            if contents.allSatisfy({ $0 == UInt8(ascii: "\r") }) { continue }
            guard let rank = Self.parse(contents, into: &token) else {
                throw InputError(
                    .malformed, in: "\(path):\(line)", expected: "base64 bytes, a space and a rank",
                    found: String(decoding: contents.prefix(60), as: UTF8.self).debugDescription)
            }
            guard rank == vocabulary.limit else {
                throw InputError(
                    .value, in: "\(path):\(line)", expected: "rank \(vocabulary.limit)", found: "rank \(rank)",
                    remedy: "The ranks of a rank file are 0, 1, 2, … in this order.")
            }
            guard token.withUnsafeBufferPointer({ vocabulary.id(of: $0) }) == Vocabulary.none else {
                throw InputError(
                    .value, in: "\(path):\(line)", expected: "each token once", found: "one that an earlier line has")
            }
            _ = token.withUnsafeBufferPointer { vocabulary.insert($0, id: rank) }
        }
        if let family = Self.otherFamilies[vocabulary.count] {
            throw InputError(
                .unsupported, in: path, expected: "a rank file of the Qwen family (\(Self.qwenCount) ranks)",
                found: "\(vocabulary.count) ranks, the number of \(family)")
        }
        var warnings: [String] = []
        if vocabulary.count != Self.qwenCount {
            warnings.append(
                "\(path) has \(vocabulary.count) ranks and Qwen's file has \(Self.qwenCount): Qwen's pattern and Qwen3's "
                    + "added tokens are used all the same.")
        }
        return TokenizerDefinition(
            vocabulary: vocabulary,
            merges: Self.merges(vocabulary),
            addedTokens: Self.addedTokens.enumerated().map { index, content in
                AddedToken(id: vocabulary.limit + index, content: content, isSpecial: index < Self.specialCount)
            },
            warnings: warnings)
    }

    /// Every way to make a token of two others.
    private static func merges(_ vocabulary: Vocabulary) -> MergeTable {
        var table = MergeTable(expectedCount: vocabulary.count * 3)
        for id in 0..<vocabulary.limit {
            vocabulary.bytes(of: id).withUnsafeBufferPointer { bytes in
                for middle in 1..<max(1, bytes.count) {
                    let left = vocabulary.id(of: UnsafeBufferPointer(rebasing: bytes[..<middle]))
                    if left == Vocabulary.none { continue }
                    let right = vocabulary.id(of: UnsafeBufferPointer(rebasing: bytes[middle...]))
                    if right == Vocabulary.none { continue }
                    table.insert(left, right, rank: id, token: UInt32(id))
                }
            }
        }
        return table
    }

    /// The rank and the bytes of one line, or nil.
    private static func parse(_ line: ArraySlice<UInt8>, into token: inout [UInt8]) -> Int? {
        token.removeAll(keepingCapacity: true)
        var index = line.startIndex
        var bits = 0
        var bitCount = 0
        while index < line.endIndex, let digit = base64Digit(line[index]) {
            bits = bits << 6 | digit
            bitCount += 6
            if bitCount >= 8 {
                bitCount -= 8
                token.append(UInt8(truncatingIfNeeded: bits >> bitCount))
                bits &= 1 << bitCount - 1
            }
            index += 1
        }
        let digitCount = index - line.startIndex
        while index < line.endIndex, line[index] == UInt8(ascii: "=") { index += 1 }
        guard (index - line.startIndex) % 4 == 0, index - line.startIndex - digitCount <= 2, bits == 0, !token.isEmpty
        else { return nil }

        guard index < line.endIndex, line[index] == UInt8(ascii: " ") else { return nil }
        var rank = 0
        var rankDigits = 0
        index += 1
        while index < line.endIndex, rankDigits < 9, case let digit = line[index] &- UInt8(ascii: "0"), digit < 10 {
            rank = rank * 10 + Int(digit)
            rankDigits += 1
            index += 1
        }
        if index < line.endIndex, line[index] == UInt8(ascii: "\r") { index += 1 }
        return index == line.endIndex && rankDigits > 0 ? rank : nil
    }

    private static func base64Digit(_ byte: UInt8) -> Int? {
        switch byte {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"): Int(byte) - 65
        case UInt8(ascii: "a")...UInt8(ascii: "z"): Int(byte) - 71
        case UInt8(ascii: "0")...UInt8(ascii: "9"): Int(byte) + 4
        case UInt8(ascii: "+"): 62
        case UInt8(ascii: "/"): 63
        default: nil
        }
    }
}
