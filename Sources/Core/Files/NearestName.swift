//  "Is it …?": the existing name that a wrong one most likely meant, by edit distance.

/// The name of `candidates` with the fewest insertions, deletions, substitutions and swaps of
/// neighbours from `name`; nil when none is near enough to be a typo of it (more than a quarter of
/// its length apart).
///
/// - Complexity: O(total length of the candidates of similar length, times that of `name`).
package func nearestName(to name: String, in candidates: some Sequence<String>) -> String? {
    let target = Array(name.utf8)
    var best: String?
    var smallest = max(2, target.count / 4) + 1
    for candidate in candidates where (candidate.utf8.count - target.count).magnitude < smallest {
        let distance = editDistance(target, Array(candidate.utf8))
        if distance < smallest && distance > 0 {
            best = candidate
            smallest = distance
        }
    }
    return best
}

/// Optimal string alignment distance: Levenshtein's, with a swap of two neighbours counted as one
/// edit.
func editDistance(_ a: [UInt8], _ b: [UInt8]) -> Int {
    var beforeLast = [Int](repeating: 0, count: b.count + 1)
    var last = Array(0...b.count)
    var row = last
    for i in 0..<a.count {
        row[0] = i + 1
        for j in 0..<b.count {
            row[j + 1] = min(last[j + 1] + 1, row[j] + 1, last[j] + (a[i] == b[j] ? 0 : 1))
            if i > 0 && j > 0 && a[i] == b[j - 1] && a[i - 1] == b[j] {
                row[j + 1] = min(row[j + 1], beforeLast[j - 1] + 1)
            }
        }
        (beforeLast, last, row) = (last, row, beforeLast)
    }
    return last[b.count]
}
