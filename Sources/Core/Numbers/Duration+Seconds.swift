//  A span of time as a number.

extension Duration {
    /// The span in seconds.
    package var seconds: Double { Double(components.seconds) + Double(components.attoseconds) * 1e-18 }
}
