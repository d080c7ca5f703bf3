//  The choice of number format that several subcommands offer.

import ArgumentParser

/// The format the reference computes in.
enum Precision: String, CaseIterable, ExpressibleByArgument {
    /// IEEE binary64.
    case f64
    /// IEEE binary32.
    case f32
}
