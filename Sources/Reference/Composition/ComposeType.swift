//  The ways in which the memories of several chunks become one.
//
//      name := keys and values "_" states              e.g. concat_kv_soup_ssm
//
//  | keys and values |                                             | states    |                                             |
//  |-----------------|---------------------------------------------|-----------|---------------------------------------------|
//  | full_kv         | of the whole context, read in one piece     | only      | zero, and the convolution windows too       |
//  | concat_kv       | of the chunks, one after another            | soup_ssm  | the mean over chunks                        |
//  | sw              | as concat_kv, but only the first prefix and | fuse_ssm  | the mean over the orders of chunks (PICASO) |
//  |                 | the last chunk are seen                     | exact_ssm | the chunks in their order, composed exactly |
//
//  The nine combinations of the first three rows are the official ones; sw_kv_only is spelt with
//  its kv. The last row is ours.
//
//  Source: awslabs/hybrid-model-factory, models/cache_compose.py; Liu et al., PICASO (arXiv
//  2502.17605).

import DualityCore

/// How the memories of chunks are composed.
public enum ComposeType: String, Sendable, CaseIterable, Codable {
    /// Keys and values of the whole text, states of zero.
    case fullKeyValuesOnly = "full_kv_only"
    /// Keys and values of the whole text, the mean of the states.
    case fullSoup = "full_kv_soup_ssm"
    /// Keys and values of the whole text, the mean over the orders of chunks.
    case fullFuse = "full_kv_fuse_ssm"
    /// Keys and values of the chunks, states of zero.
    case concatenatedKeyValuesOnly = "concat_kv_only"
    /// Keys and values of the chunks, the mean of the states.
    case concatenatedSoup = "concat_kv_soup_ssm"
    /// Keys and values of the chunks, the mean over the orders of chunks.
    case concatenatedFuse = "concat_kv_fuse_ssm"
    /// The first prefix and the last chunk are seen, states of zero.
    case slidingKeyValuesOnly = "sw_kv_only"
    /// The first prefix and the last chunk are seen, the mean of the states.
    case slidingSoup = "sw_soup_ssm"
    /// The first prefix and the last chunk are seen, the mean over the orders of chunks.
    case slidingFuse = "sw_fuse_ssm"
    /// Keys and values of the whole text, states composed in order.
    case fullExact = "full_kv_exact_ssm"
    /// Keys and values of the chunks, states composed in order.
    case concatenatedExact = "concat_kv_exact_ssm"
    /// The first prefix and the last chunk are seen, states composed in order.
    case slidingExact = "sw_exact_ssm"

    /// Where keys and values come from.
    public enum KeyValues: Sendable {
        /// Of the whole text, of the chunks one after another, or of the first prefix and the last
        /// chunk.
        case full, concatenated, sliding
    }

    /// What becomes of the states.
    public enum States: Sendable {
        /// Zero, the mean over chunks, the mean over orders, or the exact composition.
        case zero, soup, fuse, exact
    }

    /// The first part of the name: `full_kv`, `concat_kv` or `sw`.
    public var keyValues: KeyValues {
        switch self {
        case .fullKeyValuesOnly, .fullSoup, .fullFuse, .fullExact: .full
        case .concatenatedKeyValuesOnly, .concatenatedSoup, .concatenatedFuse, .concatenatedExact: .concatenated
        case .slidingKeyValuesOnly, .slidingSoup, .slidingFuse, .slidingExact: .sliding
        }
    }

    /// The last part of the name: `only`, `soup_ssm`, `fuse_ssm` or `exact_ssm`.
    public var states: States {
        switch self {
        case .fullKeyValuesOnly, .concatenatedKeyValuesOnly, .slidingKeyValuesOnly: .zero
        case .fullSoup, .concatenatedSoup, .slidingSoup: .soup
        case .fullFuse, .concatenatedFuse, .slidingFuse: .fuse
        case .fullExact, .concatenatedExact, .slidingExact: .exact
        }
    }

    /// - Throws: `InputError` (`.unknown`), with the nearest name.
    public init(named name: String) throws(InputError) {
        guard let type = ComposeType(rawValue: name) else {
            let names = Self.allCases.map(\.rawValue)
            throw InputError(
                .unknown, in: "compose type", expected: "one of \(names.joined(separator: ", "))",
                found: "\"\(name)\"")
        }
        self = type
    }
}
