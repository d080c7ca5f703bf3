//  The language of a text, by its script, its letters and its small words.
//
//  The official scorer uses trained profiles of letter sequences. Here most scripts decide alone;
//  where several languages share one, the words that every text is full of do, on lower-cased text,
//  so that capitals do not matter.

enum LanguageGuess {
    /// The language's code, as the official scorer names it; nil for a text without letters.
    static func language(of text: Scalars) -> String? {
        let lower = text.lowered
        var counts: [Script: Int] = [:]
        for scalar in lower where scalar.isLetter || scalar.properties.generalCategory == .nonspacingMark {
            if let script = Script(scalar) { counts[script, default: 0] += 1 }
        }
        // Kana stand between Han characters: any amount of them is Japanese.
        if let kana = counts[.kana], kana * 10 >= counts[.han, default: 0] { return "ja" }
        let order = Script.allCases
        guard let script = order.filter({ counts[$0] != nil }).max(by: { counts[$0]! < counts[$1]! }) else {
            return nil
        }
        if let code = script.onlyLanguage { return code }
        return likeliest(FunctionWords.languages[script] ?? [], lower) ?? FunctionWords.fallback[script]
    }

    /// The language most of whose small words and letters occur; nil when none does.
    private static func likeliest(_ languages: [FunctionWords], _ lower: Scalars) -> String? {
        let words = lower.split {
            !($0.isWord || $0 == "'" || $0.properties.generalCategory == .nonspacingMark
                || $0.properties.generalCategory == .spacingMark)
        }.map { Scalars($0).text }
        var best: (code: String, score: Double)?
        for language in languages {
            var score = 0.0
            for word in words where language.words.contains(word) { score += 1 }
            let letters = lower.filter { language.letters.contains($0) }.count
            score += 0.4 * Double(letters)
            if score > best?.score ?? 0 { best = (language.code, score) }
        }
        return best?.code
    }
}

/// Scripts, each with the ranges of its letters.
enum Script: CaseIterable, Hashable {
    case latin, cyrillic, greek, arabic, hebrew, devanagari, bengali, gurmukhi, gujarati, tamil, telugu, kannada
    case malayalam, thai, hangul, kana, han

    private static let ranges: [(ClosedRange<UInt32>, Script)] = [
        (0x41...0x24F, .latin), (0x1E00...0x1EFF, .latin), (0x370...0x3FF, .greek), (0x1F00...0x1FFF, .greek),
        (0x400...0x52F, .cyrillic), (0x590...0x5FF, .hebrew), (0x600...0x6FF, .arabic), (0x750...0x77F, .arabic),
        (0x900...0x97F, .devanagari), (0x980...0x9FF, .bengali), (0xA00...0xA7F, .gurmukhi),
        (0xA80...0xAFF, .gujarati), (0xB80...0xBFF, .tamil), (0xC00...0xC7F, .telugu), (0xC80...0xCFF, .kannada),
        (0xD00...0xD7F, .malayalam), (0xE00...0xE7F, .thai), (0x1100...0x11FF, .hangul), (0xAC00...0xD7AF, .hangul),
        (0x3040...0x30FF, .kana), (0x3400...0x4DBF, .han), (0x4E00...0x9FFF, .han), (0x20000...0x2FFFF, .han),
    ]

    init?(_ scalar: Unicode.Scalar) {
        guard let script = Self.ranges.first(where: { $0.0.contains(scalar.value) })?.1 else { return nil }
        self = script
    }

    /// The code of the one language that is written so; nil where several are.
    var onlyLanguage: String? {
        switch self {
        case .latin, .cyrillic, .arabic, .devanagari: nil
        case .greek: "el"
        case .hebrew: "he"
        case .bengali: "bn"
        case .gurmukhi: "pa"
        case .gujarati: "gu"
        case .tamil: "ta"
        case .telugu: "te"
        case .kannada: "kn"
        case .malayalam: "ml"
        case .thai: "th"
        case .hangul: "ko"
        case .kana: "ja"
        case .han: "zh-cn"
        }
    }
}
