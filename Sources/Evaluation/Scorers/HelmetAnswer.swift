//  Short answers as HELMET compares them: in small letters, without ASCII punctuation, without the
//  words a, an and the, with single spaces.

enum HelmetAnswer {
    static func normalized(_ text: Scalars) -> Scalars {
        let plain = text.lowered.filter { !$0.isASCIIPunctuation }
        var spaced: Scalars = []
        var word: Scalars = []
        func isArticle(_ word: Scalars) -> Bool {
            word.elementsEqual("a".unicodeScalars) || word.elementsEqual("an".unicodeScalars)
                || word.elementsEqual("the".unicodeScalars)
        }
        for scalar in plain {
            if scalar.isWord {
                word.append(scalar)
            } else {
                spaced += isArticle(word) ? [" "] : word
                spaced.append(scalar)
                word = []
            }
        }
        spaced += isArticle(word) ? [" "] : word
        return Scalars.joined(spaced.words, by: " ")
    }

    /// What follows `prefix` on its line, else the first line; without white space around it and
    /// without the prefix a second time.
    static func parsed(_ output: Scalars, prefix: String) -> Scalars {
        let (folded, mark) = (output.map(\.folded), Scalars(prefix).map(\.folded))
        let start = Scalars(folded).firstIndex(of: mark).map { $0 + mark.count } ?? 0
        let end = output[start...].firstIndex(of: "\n") ?? output.count
        let text = Scalars(output[start..<end]).stripped()
        let repeats = text.map(\.folded).starts(with: mark)
        return (repeats ? Scalars(text.dropFirst(mark.count)) : text).stripped()
    }

    /// F1 over the words of two normalised texts; 0 where one is yes, no or noanswer and the other
    /// is not the same.
    static func f1(_ prediction: Scalars, _ gold: Scalars) -> Double {
        let alone = ["yes", "no", "noanswer"].map { Scalars($0) }
        if prediction != gold, alone.contains(prediction) || alone.contains(gold) { return 0 }
        var counts: [Scalars: Int] = [:]
        let (words, goldWords) = (prediction.words, gold.words)
        for word in goldWords { counts[word, default: 0] += 1 }
        var common = 0
        for word in words where counts[word, default: 0] > 0 {
            counts[word, default: 0] -= 1
            common += 1
        }
        guard common > 0 else { return 0 }
        let precision = Double(common) / Double(words.count)
        let recall = Double(common) / Double(goldWords.count)
        return 2 * precision * recall / (precision + recall)
    }

    /// ROUGE-L: F1 of the longest common subsequence of words.
    ///
    /// - Complexity: O(|a| |b|).
    static func longestCommonF1(_ a: [Scalars], _ b: [Scalars]) -> Double {
        guard !a.isEmpty, !b.isEmpty else { return 0 }
        var row = Array(repeating: 0, count: b.count + 1)
        for word in a {
            var diagonal = 0
            for j in b.indices {
                let above = row[j + 1]
                row[j + 1] = word == b[j] ? diagonal + 1 : max(above, row[j])
                diagonal = above
            }
        }
        let common = Double(row[b.count])
        return common == 0 ? 0 : 2 * common / Double(a.count + b.count)
    }
}
