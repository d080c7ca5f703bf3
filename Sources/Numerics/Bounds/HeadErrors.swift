//  The result of every walk over one head of one sequence: bounds and sigmas alike.

/// What a walk over one head of one sequence yields: the exact S_t C_t and, beside it and the final
/// state, a size of error.
struct HeadErrors {
    /// S_t C_t, `[L, P]`.
    var y: [Double]
    /// For each of y, `[L, P]`.
    var yErrors: [Double]
    /// For each number of the final state, `[P, N]`.
    var stateErrors: [Double]
}
