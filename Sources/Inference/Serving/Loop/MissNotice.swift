//  A cache that never hits should say so, once, and why.

/// Counts questions to the prefix tree until the first hit.
struct MissNotice {
    private var questions = 0
    private var isOver = false

    /// Questions without a hit after which it is said, and of how many tokens they are.
    private static let patience = 100
    private static let leastTokens = 256

    /// Takes a question; returns what there is to say.
    mutating func notice(tokens: Int, hit: Bool, _ read: [ServingStatistics.ReadReason: Int]) -> String? {
        guard !isOver, tokens > Self.leastTokens else { return nil }
        questions += 1
        isOver = hit || questions == Self.patience
        guard isOver, !hit else { return nil }
        let reasons: [(ServingStatistics.ReadReason, String)] = [
            (.new, "they have no beginning in common"),
            (.divergence, "they part before the first snapshot"),
            (.evicted, "snapshots were evicted before they were used; more cache memory would help"),
        ]
        let reason = reasons.max { read[$0.0] ?? 0 < read[$1.0] ?? 0 }?.1 ?? ""
        return
            "\(questions) prompts of more than \(Self.leastTokens) tokens found nothing in the prefix cache: \(reason)."
    }
}
