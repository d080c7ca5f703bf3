//  What a generated file is made from: the same settings give the same bytes.

import DualityCore
import DualityInference

package struct GeneratorSettings: Sendable {
    package var length: Int
    package var count: Int
    package var seed: UInt64
    package var tokenizer: Tokenizer
    /// The text around the facts, where a task takes prose.
    package var prose: Filler
    package var questionsPerContext = 1
    /// Chains of variables beside the one that is asked for.
    package var moreChains = 0

    package init(length: Int, count: Int, seed: UInt64, tokenizer: Tokenizer, prose: Filler) {
        (self.length, self.count, self.seed) = (length, count, seed)
        (self.tokenizer, self.prose) = (tokenizer, prose)
    }

    package static let lengths = 256...1_048_576

    /// - Throws: `InputError` for numbers out of range.
    func check() throws(InputError) {
        func refuse(_ flag: String, _ expected: String, _ found: Int) -> InputError {
            InputError(.value, in: flag, expected: expected, found: "\(found)")
        }
        guard Self.lengths.contains(length) else {
            throw refuse("--length", "from \(Self.lengths.lowerBound) to \(Self.lengths.upperBound) tokens", length)
        }
        guard (1...100_000).contains(count) else { throw refuse("--count", "from 1 to 100,000 rows", count) }
        guard (1...64).contains(questionsPerContext) else {
            throw refuse("--questions-per-context", "from 1 to 64", questionsPerContext)
        }
        guard (0...50).contains(moreChains) else { throw refuse("--chains", "from 0 to 50", moreChains) }
    }

    func tokens(_ text: String) -> Int { tokenizer.encode(text).count }

    /// The numbers of one context.
    func random(_ task: String, _ index: Int) -> RandomSource {
        RandomSource(seed: seed).stream("\(task) \(length) \(index)")
    }
}

/// Rows of a task, made up.
package protocol TaskGenerator {
    /// The rows of one context: one, or as many as it has questions.
    ///
    /// - Parameter index: the number of the context.
    func rows(_ settings: GeneratorSettings, index: Int) throws(InputError) -> [JSON.Object]

    /// The answer, found again in the text of a row.
    func solve(_ row: JSON.Object) -> [String]
}

package enum GeneratedTasks {
    /// - Throws: `InputError` (`.unknown`) for a task that is not generated.
    package static func generator(_ name: String) throws(InputError) -> any TaskGenerator {
        switch name {
        case "vt": return VariableGenerator()
        case "cwe": return CommonWordsGenerator()
        case "fwe": return CodedWordsGenerator()
        case "qa": return GapGenerator()
        case "mrcr_2", "mrcr_4", "mrcr_8": return ConversationGenerator(needles: Int(name.suffix(1)) ?? 2)
        default:
            if let kind = NeedleGenerator.Kind(rawValue: name) { return NeedleGenerator(kind: kind) }
            if let kind = BabiGenerator.Kind(rawValue: name) { return BabiGenerator(kind: kind) }
        }
        throw InputError(
            .unknown, in: "--generate",
            expected: "one of \(TaskCatalogue.generated.map(\.name).joined(separator: ", "))", found: name)
    }

    /// All rows of a file; every one solved from its text before it is given out.
    ///
    /// - Throws: `InputError` for settings out of range, or a length that the facts do not fit.
    package static func rows(_ name: String, _ settings: GeneratorSettings) throws(InputError) -> [JSON] {
        try settings.check()
        let generator = try generator(name)
        var rows: [JSON] = []
        var context = 0
        while rows.count < settings.count {
            for var row in try generator.rows(settings, index: context) where rows.count < settings.count {
                let answers =
                    row["outputs"]?.array?.compactMap(\.string) ?? [(row["target"] ?? row["answer"])?.string ?? ""]
                let found = generator.solve(row)
                guard found.sorted() == answers.sorted() else {
                    // A filler of the user's may hold what looks like a fact.
                    throw InputError(
                        .value, in: "\(name): row \(rows.count)", expected: "a text that answers \(answers)",
                        found: "\(found)", remedy: "Give another --filler or --seed.")
                }
                row.append("context", JSON(context))
                row.append("task", .string(name))
                row.append("seed", .number(String(settings.seed)))
                row["index"] = JSON(rows.count)
                rows.append(.object(row))
            }
            context += 1
        }
        return rows
    }
}
