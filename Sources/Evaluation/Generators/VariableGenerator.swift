//  Chains of variables: VAR ABCDE = 12345, VAR FGHIJ = VAR ABCDE, … in order, at random lines.

import DualityCore

package struct VariableGenerator: TaskGenerator {
    private static let answerTokens = 30
    private static let links = 5
    private static let capitals = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

    package func rows(_ settings: GeneratorSettings, index: Int) throws(InputError) -> [JSON.Object] {
        guard settings.questionsPerContext == 1 else { throw Self.oneQuestion("vt") }
        var random = settings.random("vt", index)
        var (names, values): (Set<String>, Set<String>) = ([], [])
        var fitter = ContextFitter(tokenizer: settings.tokenizer, separator: "\n")
        var asked: (value: String, names: [String]) = ("", [])
        for chain in 0...settings.moreChains {
            var value = random.digits(5)
            while !values.insert(value).inserted { value = random.digits(5) }
            var chainNames: [String] = []
            while chainNames.count < Self.links {
                let name = random.letters(5, from: Self.capitals)
                if names.insert(name).inserted { chainNames.append(name) }
            }
            let depths = (0..<Self.links).map { _ in random.uniform() }.sorted()
            for (i, name) in chainNames.enumerated() {
                let source = i == 0 ? value : "VAR \(chainNames[i - 1])"
                fitter.insertions.append((depths[i], "VAR \(name) = \(source)"))
            }
            if chain == 0 { asked = (value, chainNames) }
        }
        let question = "Which variables have the value \(asked.value)?"
        let prefix = " The variables with the value \(asked.value) are:"
        fitter.after = "\n\(question)\(prefix)"
        let text = try fitter.fitted(settings.length - Self.answerTokens, name: "vt") { Filler.noise.sentence($0) }
        return [
            [
                "index": 0, "input": .string("\(text)\n\(question)"),
                "outputs": .array(asked.names.map { .string($0) }),
                "length": JSON(settings.length), "answer_prefix": .string(prefix),
            ]
        ]
    }

    static func oneQuestion(_ task: String) -> InputError {
        InputError(
            .unsupported, in: "--questions-per-context", expected: "1 for \(task)", found: "more",
            remedy: "Needles and bAbI-like tasks ask several.")
    }

    package func solve(_ row: JSON.Object) -> [String] {
        let lines = (row["input"]?.string ?? "").split(separator: "\n")
        let value = lines.last?.split(separator: " ").last?.dropLast() ?? ""
        var holds: [Substring: Substring] = [:]
        var names: [String] = []
        for line in lines where line.hasPrefix("VAR ") {
            let parts = line.split(separator: " ")
            holds[parts[1]] = parts[3] == "VAR" ? holds[parts[4]] : parts[3]
            if holds[parts[1]] == value { names.append(String(parts[1])) }
        }
        return names
    }
}
