//  What surrounds the facts of a generated text.

import DualityCore
import DualityInference
import Foundation

/// Sentences that fill a context.
package struct Filler: Sendable {
    /// Sentences in the order of the text.
    let sentences: [String]

    /// Five sentences that say nothing, over and over.
    static let noise = Filler(sentences: [
        "The road goes on.", "The sky is wide.", "The river runs below.", "Here we are and there we go.",
        "The day is long.",
    ])

    private init(sentences: [String]) { self.sentences = sentences }

    /// The sentences of a text file.
    ///
    /// - Throws: `InputError` for a file that is not there, not UTF-8, or holds no sentences.
    package init(file path: String) throws(InputError) {
        guard let text = String(validating: try DataFile.bytes(path), as: UTF8.self) else {
            throw InputError(.value, in: path, expected: "text in UTF-8", found: "bytes that are not")
        }
        sentences = Self.sentences(of: text)
        guard sentences.count >= 20 else {
            throw InputError(.value, in: path, expected: "a text of at least 20 sentences", found: "\(sentences.count)")
        }
    }

    /// The held-out text of the embedded model.
    package static func prose() throws(InputError) -> Filler {
        let directory = try ModelLocation.find()
        let own = "\(directory)/data/heldout.txt"
        if DataFile.exists(own) { return try Filler(file: own) }
        let packages = [FileManager.default.currentDirectoryPath, Bundle.main.executablePath ?? ""]
        for start in packages {
            var folder = URL(fileURLWithPath: start).resolvingSymlinksInPath()
            while folder.path != "/" {
                let file = folder.appendingPathComponent("\(ModelLocation.embedded)/data/heldout.txt").path
                if DataFile.exists(file) { return try Filler(file: file) }
                folder = folder.deletingLastPathComponent()
            }
        }
        throw InputError(
            .missingFile, in: own, expected: "the package's held-out text", found: "no such file",
            remedy: "Give a text with --filler.")
    }

    private static let titles: Set<String> = ["Mr.", "Mrs.", "Ms.", "Dr.", "St.", "M."]

    /// Cut after a full stop, question or exclamation mark and what closes it, where white space
    /// and no small letter follows; runs of white space become one space.
    static func sentences(of text: String) -> [String] {
        var sentences: [String] = []
        let words = Scalars(text).words
        var current: [Scalars] = []
        for (i, word) in words.enumerated() {
            current.append(word)
            let core = word.strippedEnd { ["\"", "'", "\u{201D}", "\u{2019}", ")"].contains($0) }
            let endsHere = core.last == "." || core.last == "?" || core.last == "!"
            let nextIsSmall = i + 1 < words.count && words[i + 1].first?.properties.isLowercase == true
            if endsHere, !nextIsSmall, current.count >= 3, !titles.contains(core.text) {
                sentences.append(Scalars.joined(current, by: " ").text)
                current = []
            }
        }
        return sentences
    }

    /// Without sentences that hold one of the words, whatever their case.
    func without(_ words: [String]) -> Filler {
        let words = words.map { Scalars($0).lowered }
        return Filler(
            sentences: sentences.filter { sentence in
                let lower = Scalars(sentence).lowered
                return !words.contains { lower.holds($0) }
            })
    }

    /// The sentences from one on, around and around.
    func rotated(by start: Int) -> Filler {
        guard !sentences.isEmpty else { return self }
        let start = start % sentences.count
        return Filler(sentences: Array(sentences[start...] + sentences[..<start]))
    }

    /// The first sentences.
    func first(_ count: Int) -> Filler { Filler(sentences: Array(sentences.prefix(count))) }

    func sentence(_ i: Int) -> String { sentences[i % sentences.count] }
}
