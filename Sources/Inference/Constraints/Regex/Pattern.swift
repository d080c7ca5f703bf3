//  A regular expression, taken apart.

/// The parts of a regular expression.
indirect enum Pattern: Equatable, Sendable {
    case empty
    /// One character of these, sorted and apart.
    case characters([ClosedRange<UInt32>])
    case sequence([Pattern])
    case choice([Pattern])
    /// `most` is `Int.max` for any number.
    case repetition(Pattern, least: Int, most: Int)
    /// The beginning of the text.
    case start
    /// The end of the text.
    case end

    static let anything = Pattern.repetition(
        .characters(CharacterAutomaton.allScalars), least: 0, most: .max)
}
