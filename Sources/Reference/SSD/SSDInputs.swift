//  The operands of state space duality, checked.
//
//      S_t = exp(Δ_t A) S_{t-1} + Δ_t x_t B_tᵀ          y_t = (S_t C_t + D x_t) ⊙ silu(z_t)
//
//  | symbol       | shape             | meaning                                                        |
//  |--------------|-------------------|----------------------------------------------------------------|
//  | x            | [B, L, Hx, P]     | input; SSM head h reads head `headMap.x[h]`                    |
//  | dt           | [B, L, H]         | raw step; Δ is made from it, see Steps.swift                |
//  | A            | [H]               | decay rate, <= 0 (A = -exp(A_log))                             |
//  | B            | [B, L, Gb, N]     | input direction; SSM head h reads head `headMap.b[h]`          |
//  | C            | [B, L, Gc, N]     | output direction; SSM head h reads head `headMap.c[h]`         |
//  | D            | [H] or [H, P]     | skip, optional                                                 |
//  | z            | [B, L, H, P]      | gate, optional                                                 |
//  | dtBias       | [H]               | added to dt before the softplus, optional                      |
//  | initialState | [B, H, P, N]      | S_0, zero when absent; [S, H, P, N] for S packed sequences     |
//
//  Source: Mamba-2 (arXiv 2405.21060) sections 5 and 6; state-spaces/mamba,
//  ops/triton/ssd_combined.py, `mamba_chunk_scan_combined`.

import DualityCore

/// The operands of one call of the operator. A value of this type fits together: every shape has
/// been checked.
public struct SSDInputs<Scalar: RealNumber>: Sendable {
    /// Input, `[B, L, Hx, P]`.
    public let x: Tensor<Scalar>
    /// Raw step, `[B, L, H]`.
    public let dt: Tensor<Scalar>
    /// Decay rate, `[H]`, at most zero.
    public let a: Tensor<Scalar>
    /// Input direction, `[B, L, Gb, N]`.
    public let b: Tensor<Scalar>
    /// Output direction, `[B, L, Gc, N]`.
    public let c: Tensor<Scalar>
    /// Skip weight, `[H]` or `[H, P]`.
    public let d: Tensor<Scalar>?
    /// Gate, `[B, L, H, P]`.
    public let z: Tensor<Scalar>?
    /// Step bias, `[H]`.
    public let dtBias: Tensor<Scalar>?
    /// State before the first token, `[B, H, P, N]`. With packed sequences it belongs to the first
    /// one of each row; given as `[S, H, P, N]`, each sequence has its own.
    public let initialState: Tensor<Scalar>?
    /// How rows are divided into sequences; nil when each is one.
    public let packing: Packing?
    /// Which head of x, B and C each SSM head reads.
    public let headMap: HeadMap
    /// Whether the biased step passes through softplus.
    public let dtSoftplus: Bool
    /// What the step is clamped to, after the softplus.
    public let dtLimit: ClosedRange<Double>

    /// Batch size, B.
    public var batch: Int { x.shape[0] }
    /// Sequence length, L.
    public var length: Int { x.shape[1] }
    /// SSM heads, H.
    public var heads: Int { dt.shape[2] }
    /// Head dimension, P.
    public var headDim: Int { x.shape[3] }
    /// State dimension, N.
    public var stateDim: Int { b.shape[3] }

    /// Checks that the operands fit together.
    ///
    /// L and B may be zero; every other dimension is at least one.
    ///
    /// - Parameters:
    ///   - packing: how rows are divided into sequences; one sequence a row when nil.
    ///   - headMap: the grouped map of the operands' own head counts when nil.
    ///   - dtSoftplus: whether Δ = softplus(dt + bias) or dt + bias itself.
    ///   - dtLimit: bounds of Δ, both at least zero.
    ///   - allowsNonFinite: lets NaN and infinity in A, dt and dt_bias through.
    /// - Throws: `InputError` naming the tensor (`x`, `dt`, `A`, `B`, `C`, `D`, `z`, `dt_bias`,
    ///   `initial_states`, `packing`): `.shape` when it does not fit, `.value` when some A > 0 or
    ///   the limits are negative, `.notFinite` for A, dt and dt_bias (clamping would hide a NaN
    ///   there; in the other operands it shows in y).
    public init(
        x: Tensor<Scalar>, dt: Tensor<Scalar>, a: Tensor<Scalar>, b: Tensor<Scalar>, c: Tensor<Scalar>,
        d: Tensor<Scalar>? = nil, z: Tensor<Scalar>? = nil, dtBias: Tensor<Scalar>? = nil,
        initialState: Tensor<Scalar>? = nil, packing: Packing? = nil, headMap: HeadMap? = nil, dtSoftplus: Bool = true,
        dtLimit: ClosedRange<Double> = 0...(.infinity), allowsNonFinite: Bool = false
    ) throws(InputError) {
        let heads = dt.shape.last ?? 0
        try Self.requireShapes((x, dt, a, b, c), d: d, z: z, dtBias: dtBias, initialState, packing)
        let map: HeadMap
        if let headMap {
            try headMap.check(heads: heads, x: x.shape[2], b: b.shape[2], c: c.shape[2])
            map = headMap
        } else {
            map = try HeadMap.grouped(heads: heads, x: x.shape[2], b: b.shape[2], c: c.shape[2])
        }

        try Self.requireValues(dt, a, dtBias, dtLimit, allowsNonFinite: allowsNonFinite)

        self.x = x
        self.dt = dt
        self.a = a
        self.b = b
        self.c = c
        self.d = d
        self.z = z
        self.dtBias = dtBias
        self.initialState = initialState
        self.packing = packing
        self.headMap = map
        self.dtSoftplus = dtSoftplus
        self.dtLimit = dtLimit
    }

    /// The shapes fit together: x gives B, L and P; dt gives H; B gives N; every other axis is then
    /// known.
    private static func requireShapes(
        _ operands: (
            x: Tensor<Scalar>, dt: Tensor<Scalar>, a: Tensor<Scalar>, b: Tensor<Scalar>, c: Tensor<Scalar>
        ),
        d: Tensor<Scalar>?, z: Tensor<Scalar>?, dtBias: Tensor<Scalar>?, _ initialState: Tensor<Scalar>?,
        _ packing: Packing?
    ) throws(InputError) {
        let (x, dt, a, b, c) = operands
        try require(x.shape, as: "x", axes: ["B", "L", "Hx", "P"], is: [nil, nil, nil, nil])
        let (batch, length, headDim) = (x.shape[0], x.shape[1], x.shape[3])
        try require(dt.shape, as: "dt", axes: ["B", "L", "H"], is: [batch, length, nil])
        let heads = dt.shape[2]
        try require(a.shape, as: "A", axes: ["H"], is: [heads])
        try require(b.shape, as: "B", axes: ["B", "L", "G", "N"], is: [batch, length, nil, nil])
        let stateDim = b.shape[3]
        try require(c.shape, as: "C", axes: ["B", "L", "G", "N"], is: [batch, length, nil, stateDim])
        if let d {
            if d.shape.count == 1 {
                try require(d.shape, as: "D", axes: ["H"], is: [heads])
            } else {
                try require(d.shape, as: "D", axes: ["H", "P"], is: [heads, headDim])
            }
        }
        if let z { try require(z.shape, as: "z", axes: ["B", "L", "H", "P"], is: [batch, length, heads, headDim]) }
        if let dtBias { try require(dtBias.shape, as: "dt_bias", axes: ["H"], is: [heads]) }
        if let packing { try packing.check(batch: batch, length: length) }
        if let initialState {
            let perSequence = packing.map { initialState.shape.first == $0.count } ?? false
            try require(
                initialState.shape, as: "initial_states", axes: [perSequence ? "S" : "B", "H", "P", "N"],
                is: [perSequence ? packing?.count : batch, heads, headDim, stateDim])
        }
    }

    /// Rates are at most zero, limits of the step at least zero, and what clamping would hide is
    /// finite.
    private static func requireValues(
        _ dt: Tensor<Scalar>, _ a: Tensor<Scalar>, _ dtBias: Tensor<Scalar>?, _ dtLimit: ClosedRange<Double>,
        allowsNonFinite: Bool
    ) throws(InputError) {
        if !allowsNonFinite {
            try dt.requireFinite("dt")
            try a.requireFinite("A")
            try dtBias?.requireFinite("dt_bias")
        }
        if let head = a.elements.firstIndex(where: { $0 > 0 }) {
            throw InputError(
                .value, in: "A", expected: "numbers <= 0", found: "\(a.elements[head]) at head \(head)",
                remedy: "A is the decay rate itself, A = -exp(A_log).")
        }
        guard dtLimit.lowerBound >= 0 else {
            throw InputError(
                .value, in: "dt_limit", expected: "a lower bound >= 0", found: "\(dtLimit.lowerBound)",
                remedy: "A negative step would make the state grow.")
        }
    }

    /// The same operands in another number format: exact when widening, rounded to nearest when
    /// narrowing.
    ///
    /// - Throws: `InputError` when a number of A, dt or dt_bias overflows the narrower format.
    public func converted<Other: RealNumber>(to type: Other.Type = Other.self) throws(InputError) -> SSDInputs<Other> {
        try SSDInputs<Other>(
            x: x.converted(), dt: dt.converted(), a: a.converted(), b: b.converted(), c: c.converted(),
            d: d?.converted(), z: z?.converted(), dtBias: dtBias?.converted(), initialState: initialState?.converted(),
            packing: packing, headMap: headMap, dtSoftplus: dtSoftplus, dtLimit: dtLimit)
    }
}

extension Packing {
    fileprivate func check(batch: Int, length: Int) throws(InputError) {
        guard rows.count == batch else {
            throw InputError(
                .shape, in: "packing", expected: "\(batch) rows, as x has", found: "\(rows.count)",
                remedy: "Cumulative lengths describe a single row; a batch is divided by seq_idx.")
        }
        for row in rows where (row.last?.upperBound ?? 0) != length {
            throw InputError(
                .shape, in: "packing", expected: "\(length) tokens per row, as x has",
                found: "\(row.last?.upperBound ?? 0)")
        }
    }
}

extension HeadMap {
    fileprivate func check(heads: Int, x: Int, b: Int, c: Int) throws(InputError) {
        guard self.heads == heads else {
            throw InputError(
                .shape, in: "head map", expected: "\(heads) entries, one per head of dt", found: "\(self.heads)")
        }
        for (name, list, count) in [("x", self.x, x), ("B", self.b, b), ("C", self.c, c)] {
            if let outside = list.first(where: { $0 >= count }) {
                throw InputError(
                    .shape, in: "head map of \(name)", expected: "heads below \(count)", found: "\(outside)")
            }
        }
    }
}

/// Checks a shape axis by axis; nil is an axis that this tensor defines. B and L alone may be zero.
private func require(
    _ shape: [Int], as name: String, axes: [String], is lengths: [Int?]
) throws(InputError) {
    let fits =
        shape.count == axes.count
        && zip(shape, zip(axes, lengths)).allSatisfy { found, axis in
            axis.1.map { $0 == found } ?? (found > 0 || axis.0 == "B" || axis.0 == "L")
        }
    guard fits else {
        let expected = zip(axes, lengths).map { axis, length in length.map { "\(axis) = \($0)" } ?? axis }
        throw InputError(
            .shape, in: name, expected: "[\(expected.joined(separator: ", "))]", found: "\(shape)")
    }
}
