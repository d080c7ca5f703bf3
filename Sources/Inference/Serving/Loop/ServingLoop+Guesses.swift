//  Guessed tokens in the rows that a step has left.
//
//  A few rows beside those that decode are read for the same weights. Where no prompt wants them,
//  sequences whose text repeats itself get them for what came after the last time; wrong guesses
//  are taken back before anybody sees them. An answer has the same bits with and without.

extension ServingLoop {
    /// Adds guesses to the pieces of a step in which nothing but answers is read.
    func guess(_ pieces: [StepPiece]) -> [StepPiece] {
        guard limits.looksUp, !pieces.isEmpty, pieces.allSatisfy(\.sequence.isDecoding) else { return pieces }
        var room = min(DraftWorth.rowLimit, rowLimit) - pieces.reduce(0) { $0 + $1.count }
        var open = pieces.count
        var result: [StepPiece] = []
        for piece in pieces {
            // Those behind get what this one does not want.
            let share = (room + open - 1) / open
            open -= 1
            guard share > 0, piece.sequence.answerCount > 0 else {
                result.append(piece)
                continue
            }
            let draft = piece.sequence.draft(atMost: share, vocabularySize: model.configuration.vocabularySize)
            room -= draft.tokens.count
            result.append(StepPiece(sequence: piece.sequence, count: piece.count, draft: draft))
        }
        // A guess is not worth anybody's memory.
        return fits(bytes(of: result)) ? result : pieces
    }

    /// Puts the memory of those that guessed wrongly back to where it was before the step.
    func settle(_ pieces: [StepPiece]) {
        for piece in pieces {
            guard let (guessed, confirmed) = piece.sequence.settle() else { continue }
            statistics.drafts += 1
            statistics.draftTokens += guessed
            statistics.acceptedTokens += confirmed
        }
    }
}
