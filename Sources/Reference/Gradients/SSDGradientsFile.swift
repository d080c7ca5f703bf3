//  Upstream gradients and gradients in a file, one tensor each:
//
//      dout  dfinal_states  dvarlen_states          what the loss says about y, final_states and varlen_states
//      grad_x  grad_dt  grad_A  grad_B  grad_C  grad_D  grad_z  grad_dt_bias  grad_initial_states

import DualityCore

extension SSDUpstream {
    /// Reads the upstream gradients beside the operands in `source`. Shapes are checked where they
    /// are used.
    ///
    /// - Throws: `InputError` naming the source and the tensor: `.missing` when there is none of
    ///   them, `.notFinite` for a NaN or an infinity.
    public init(readingFrom source: some TensorSource) throws {
        func read(_ name: String) throws -> Tensor<Scalar>? {
            guard source.contains(name) else { return nil }
            let tensor = try source.tensor(name, as: Scalar.self)
            do { try tensor.requireFinite(name) } catch { throw error.within(source.place) }
            return tensor
        }
        try self.init(y: read("dout"), finalState: read("dfinal_states"), sequenceStates: read("dvarlen_states"))
        guard y != nil || finalState != nil || sequenceStates != nil else {
            throw InputError(
                .missing, in: "\(source.place): dout", expected: "the gradient of a loss with respect to y",
                found: "neither dout nor dfinal_states")
        }
    }
}

extension SSDGradients {
    /// Every gradient under the name of its operand in files: `x`, `dt`, `A`, `B`, `C`, and those
    /// of `D`, `z`, `dt_bias` and `initial_states` that there are.
    public var named: [(name: String, gradient: Tensor<Scalar>)] {
        let all: [(String, Tensor<Scalar>?)] = [
            ("x", x), ("dt", dt), ("A", a), ("B", b), ("C", c), ("D", d), ("z", z), ("dt_bias", dtBias),
            ("initial_states", initialState),
        ]
        return all.compactMap { name, gradient in gradient.map { (name, $0) } }
    }
}
