//  How far a name is from another: what a misspelt one was most likely meant to be.

/// Insertions, deletions and replacements between two names (Levenshtein's distance).
///
/// - Complexity: O(length of `a` times length of `b`).
func distance(_ a: String, _ b: String) -> Int {
    let (a, b) = (Array(a), Array(b))
    var row = Array(0...b.count)
    for i in a.indices {
        var diagonal = row[0]
        row[0] = i + 1
        for j in b.indices {
            let above = row[j + 1]
            row[j + 1] = min(above + 1, row[j] + 1, diagonal + (a[i] == b[j] ? 0 : 1))
            diagonal = above
        }
    }
    return row[b.count]
}
