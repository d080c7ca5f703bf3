//  Where a prompt is cut, so that a snapshot can be taken.
//
//  A place more is a copy of all states, and a step more, which reads all weights, where the model
//  cannot copy them on the way: places near each other are merged, except the one before the
//  generation prompt, which the next turn will go on from.

/// A place where a snapshot will be taken.
struct PlannedSnapshot: Equatable {
    let tokenCount: Int
    let kind: SnapshotKind
}

enum PlacementPlan {
    /// Nearer to the next than this is merged with it.
    static let nearest = 16
    /// A branch is worth a snapshot from so many tokens on.
    static let leastBranch = 64
    /// Turns whose beginnings are kept, besides those that must be.
    private static let turns = 2

    /// The snapshots to take while a prompt is read, in order.
    ///
    /// - Parameters:
    ///   - places: what the renderer knows.
    ///   - start: tokens that are there already.
    ///   - grid: G.
    ///   - branch: where an earlier prompt and this one part, if that is worth one.
    static func snapshots(
        of prompt: Int, places: [SnapshotPlace], from start: Int, grid: Int, branch: Int?
    ) -> [PlannedSnapshot] {
        // Of equal places the first stays.
        var candidates = places.filter { $0.kind == .system }
        candidates += places.filter { $0.kind == .turn && $0.isKept }
        candidates += places.filter { $0.kind == .turn && !$0.isKept }.sorted { $0.tokenCount < $1.tokenCount }
            .suffix(turns)
        candidates += branch.map { [SnapshotPlace(.branch, at: $0)] } ?? []
        candidates.append(SnapshotPlace(.prompt, at: prompt - 1))
        candidates += stride(from: (start / grid + 1) * grid, to: prompt, by: grid).map { SnapshotPlace(.grid, at: $0) }

        var seen: Set<Int> = []
        let ordered = candidates.filter { $0.tokenCount > start && $0.tokenCount < prompt }
            .sorted { $0.tokenCount < $1.tokenCount || ($0.tokenCount == $1.tokenCount && $0.isKept && !$1.isKept) }
            .filter { seen.insert($0.tokenCount).inserted }
        return ordered.enumerated().filter { i, place in
            place.isKept || i + 1 == ordered.count
                || ordered[i + 1].tokenCount - place.tokenCount >= nearest
        }.map { PlannedSnapshot(tokenCount: $1.tokenCount, kind: $1.kind) }
    }

    /// G: the power of two nearest to the tokens whose keys and values weigh twice a snapshot, at
    /// least 256.
    static func grid(snapshotBytes: Int, pageSetBytes: Int, pageTokens: Int) -> Int {
        guard pageSetBytes > 0 else { return 1024 }
        let tokens = 2 * Double(snapshotBytes) * Double(pageTokens) / Double(pageSetBytes)
        var grid = 256
        while Double(grid) * 1.4142135623730951 < tokens, grid < 1 << 20 { grid *= 2 }
        return grid
    }
}
