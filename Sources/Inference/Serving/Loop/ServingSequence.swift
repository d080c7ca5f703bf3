//  One answer being computed: its tokens, the model's memory of them, and what decides the next.
//
//      tokens     prompt, then what was drawn
//      read       how many of them the cache holds; the others are read in the next steps
//
//  A sequence that decodes has one token to read, one that reads its prompt has many, and one that
//  had to give its memory away has all of them again: it is the same thing. The logits behind the
//  last token draw the next.

import DualityCore
import DualityQuant

/// One choice of a request. Belongs to the loop's thread; while a step draws, to one thread of the
/// pool.
final class ServingSequence {
    enum Phase {
        /// Waits for the first choice to read the prompt.
        case unborn
        case waiting, running, ended
    }

    /// What the logits of a step led to.
    enum Outcome {
        case drawn(TokenScore, end: ServingReason?)
        /// The end without a token: nothing may follow.
        case over(ServingReason)
        case failed(InputError)
    }

    let group: ServingGroup
    let choice: Int
    let promptCount: Int
    private(set) var tokens: [Int]
    var phase: Phase
    var cache = QuantCache.none
    private var sampler: Sampler
    private var constraint: TokenConstraint?
    /// Snapshots to take on the way, in order.
    var plan: [PlannedSnapshot] = []
    /// Whether states and the last page will be copied when they are next written, for somebody
    /// else has them.
    var sharesMemory = false
    /// Log probabilities of the prompt's tokens, and of how many they are known.
    let scores: PromptScores?
    /// What the last step led to: one outcome, or several where guesses came true.
    private(set) var outcomes: [Outcome] = []
    /// Tokens that the caller was told of.
    var toldCount = 0
    /// Who guesses, if anybody does, and the guess that is being read.
    private var source: DraftSource?
    private var guess: ServingGuess?
    /// The sequence whose prompt this one waits for, and how far that has to be read.
    var awaited: (sequence: ServingSequence, tokenCount: Int)?
    var hasWaited = false
    /// Counted in the statistics so far.
    var countedTokens = 0
    var times = Times()
    var preemptions = 0

    struct Times {
        var admitted: ContinuousClock.Instant?
        var firstToken: ContinuousClock.Instant?
        var lastToken: ContinuousClock.Instant?
    }

    /// - Parameter drafter: who guesses, if tokens may be read before they are known.
    init(_ group: ServingGroup, choice: Int, drafter: LookupDrafter?) {
        let request = group.submission.request
        self.group = group
        self.choice = choice
        phase = choice == 0 ? .waiting : .unborn
        promptCount = request.prompt.count
        tokens = request.prompt
        var parameters = request.sampling
        parameters.seed &+= UInt64(choice)
        sampler = Sampler(parameters)
        constraint = request.constraint
        source = drafter.map { DraftSource([$0]) }
        scores = choice == 0 && request.promptScores != nil ? PromptScores(count: promptCount) : nil
    }

    /// Of `tokens`, how many the cache holds.
    var read: Int { cache.tokenCount }
    /// Tokens to read before the next can be drawn.
    var pending: Int { tokens.count - read }
    var answerCount: Int { tokens.count - promptCount }
    var salt: String? { group.request.cacheSalt }
    /// Whether it reads what it said itself, and not a prompt: one token, or the few that came true
    /// of a guess beside a wrong one.
    var isDecoding: Bool { pending == 1 || (read >= promptCount && pending <= DraftWorth.rowLimit) }
    /// Whether a step can do something for it.
    var isReady: Bool { phase == .running && !(group.isPaused && isDecoding && answerCount > 0) }

    /// Takes the cache out, so that it has one owner.
    func takeCache() -> QuantCache {
        let taken = cache
        cache = .none
        return taken
    }

    /// Of how many of the last rows of `count` more tokens logits are wanted.
    func rowsWanted(of count: Int) -> Int {
        let end = read + count
        if let scores, scores.known < promptCount {
            // Row t scores token t + 1; the last row of the prompt draws.
            return max(end - max(read, scores.known - 1), 0)
        }
        return end == tokens.count ? 1 : 0
    }

    /// Takes the logits behind token `position`. Called on the threads of the pool.
    func take(_ logits: UnsafeMutableBufferPointer<Float>, behind position: Int) {
        let next = position + 1
        if next < promptCount {
            // Not of `tokens`, to which the thread that has the last row appends meanwhile.
            let request = group.request
            if let scores, let count = request.promptScores {
                scores.set(
                    next,
                    TokenScore(request.prompt[next], logits: UnsafeBufferPointer(logits), alternatives: count))
            }
            return
        }
        guard next >= tokens.count else { return }
        if let guess {
            if guess.keep(logits, row: next - tokens.count) { draw(guess) }
            return
        }
        let heirs = answerCount == 0 && choice == 0 ? group.unborn : []
        // The last to draw may overwrite the logits.
        for heir in heirs {
            let copy = UnsafeMutableBufferPointer<Float>.allocate(capacity: logits.count)
            defer { copy.deallocate() }
            _ = copy.update(from: logits)
            heir.draw(copy)
        }
        draw(logits)
    }

    // MARK: Drawing

    private func draw(_ logits: UnsafeMutableBufferPointer<Float>) {
        if group.submission.maxTokens == 0 {
            outcomes.append(.over(.length))
            return
        }
        do throws(InputError) {
            outcomes.append(try drawn(logits))
        } catch {
            outcomes.append(.failed(error))
        }
    }

    private func drawn(_ logits: UnsafeMutableBufferPointer<Float>) throws(InputError) -> Outcome {
        let request = group.request
        let raw = request.logprobs == nil ? [] : Array(logits)
        if let constraint {
            let mask = try constraint.mask()
            if mask.isEmpty { return .over(.end(nil)) }
            mask.apply(to: logits)
        }
        if answerCount < request.minTokens { forbidEnd(logits) }
        let token = try sampler.next(overwriting: logits, history: tokens)
        let score =
            raw.withUnsafeBufferPointer { raw in
                request.logprobs.map { TokenScore(token, logits: raw, alternatives: $0) }
            } ?? TokenScore(token: token)
        let end = try reason(toEndAt: token)
        tokens.append(token)
        return .drawn(score, end: end)
    }

    /// Forbids what would end the answer, unless nothing else could come.
    private func forbidEnd(_ logits: UnsafeMutableBufferPointer<Float>) {
        let request = group.request
        let ends = (endsAtEndTokens ? request.endTokens : []).union(request.stopTokens)
            .filter { logits.indices.contains($0) }
        let saved = ends.map { (token: $0, logit: logits[$0]) }
        for token in ends { logits[token] = -.infinity }
        if constraint != nil, !logits.contains(where: { $0 != -.infinity }) {
            for (token, logit) in saved { logits[token] = logit }
        }
    }

    private var endsAtEndTokens: Bool { !group.request.ignoresEnd || constraint != nil }

    private func reason(toEndAt token: Int) throws(InputError) -> ServingReason? {
        let request = group.request
        if endsAtEndTokens, request.endTokens.contains(token) { return .end(token) }
        if request.stopTokens.contains(token) { return .stopToken(token) }
        if var next = constraint {
            // An end token of the vocabulary that the request did not name.
            if !next.isText(token) { return .end(token) }
            try next.advance(by: token)
            constraint = next
        }
        return answerCount + 1 >= group.submission.maxTokens ? .length : nil
    }

    /// Hands out what the last step led to.
    func takeOutcomes() -> [Outcome] {
        defer { outcomes = [] }
        return outcomes
    }
}

// MARK: - Guesses

extension ServingSequence {
    /// Guesses what follows, at most as many tokens as can be of use.
    func draft(atMost limit: Int, vocabularySize: Int) -> DraftSource.Draft {
        // The last token of an answer has no use for a row behind it.
        let left = group.submission.maxTokens - answerCount - 1
        let draft = try? source?.draft(
            after: tokens, atMost: min(limit, left), constraint, vocabularySize: vocabularySize)
        return draft ?? DraftSource.Draft()
    }

    /// Keeps the memory as it is, for the next step reads what is not known.
    func expect(_ draft: DraftSource.Draft, width: Int) {
        guess = ServingGuess(draft, before: cache, shared: sharesMemory, width: width)
    }

    /// Draws from the rows of a guess for as long as it comes true.
    private func draw(_ guess: ServingGuess) {
        for row in 0...guess.count {
            draw(guess.row(row))
            guard case .drawn(let score, end: nil)? = outcomes.last, row < guess.count,
                score.token == guess.draft.tokens[row]
            else { return }
        }
    }

    /// Brings memory and known tokens in line: the memory holds no guess that did not come true.
    ///
    /// - Returns: how many tokens were guessed and how many rightly; nil without a guess.
    func settle() -> (guessed: Int, confirmed: Int)? {
        guard let guess else { return nil }
        self.guess = nil
        let came = outcomes.compactMap { if case .drawn(let score, _) = $0 { score.token } else { nil } }
        let confirmed = zip(came, guess.draft.tokens).prefix { $0 == $1 }.count
        source?.learn(guess.draft, confirmed: confirmed, came: came.count)
        if confirmed < guess.count { (cache, sharesMemory) = (guess.before, guess.shared) }
        return (guess.count, confirmed)
    }
}
