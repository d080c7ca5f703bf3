//  The operands of the operator in a file, one tensor an operand:
//
//      x  dt  A  B  C          required
//      D  z  dt_bias  initial_states          optional
//      seq_idx or cu_seqlens                  optional, integers: packed sequences
//
//  in the shapes of SSDInputs.swift and in any number format. Softplus and limits are options of
//  the call, not tensors.

import DualityCore

extension SSDInputs {
    /// Reads the operands from `source`, widened or rounded to `Scalar`. Other tensors are ignored.
    ///
    /// Heads are read in equal groups: dt has H of them, and those of x, B and C each divide H.
    ///
    /// - Throws: `InputError` naming the source and the tensor: `.missing` for a required one,
    ///   `.notFinite` for a NaN or an infinity anywhere, and what `init(x:dt:a:b:c:…)` throws.
    public init(
        readingFrom source: some TensorSource, dtSoftplus: Bool = true, dtLimit: ClosedRange<Double> = 0...(.infinity)
    ) throws {
        func read(_ name: String) throws -> Tensor<Scalar> {
            let tensor = try source.tensor(name, as: Scalar.self)
            do { try tensor.requireFinite(name) } catch { throw error.within(source.place) }
            return tensor
        }
        func readIfPresent(_ name: String) throws -> Tensor<Scalar>? {
            source.contains(name) ? try read(name) : nil
        }
        let required = try (x: read("x"), dt: read("dt"), a: read("A"), b: read("B"), c: read("C"))
        let optional = try (
            d: readIfPresent("D"), z: readIfPresent("z"), dtBias: readIfPresent("dt_bias"),
            initialState: readIfPresent("initial_states")
        )
        do {
            try self.init(
                x: required.x, dt: required.dt, a: required.a, b: required.b, c: required.c, d: optional.d,
                z: optional.z, dtBias: optional.dtBias, initialState: optional.initialState,
                packing: readPacking(source),
                dtSoftplus: dtSoftplus,
                dtLimit: dtLimit)
        } catch let error as InputError {
            throw error.within(source.place)
        }
    }
}

/// The division into sequences, by whichever tensor states it.
private func readPacking(_ source: some TensorSource) throws -> Packing? {
    switch (source.contains("seq_idx"), source.contains("cu_seqlens")) {
    case (false, false):
        return nil
    case (true, false):
        return try Packing(sequenceIds: source.integers("seq_idx"))
    case (false, true):
        let lengths = try source.integers("cu_seqlens")
        guard lengths.shape.count == 1 else {
            throw InputError(.shape, in: "cu_seqlens", expected: "[S + 1]", found: "\(lengths.shape)")
        }
        return try Packing(cumulativeLengths: lengths.elements)
    case (true, true):
        throw InputError(
            .value, in: "seq_idx, cu_seqlens", expected: "one of them", found: "both",
            remedy: "They say the same thing in two ways.")
    }
}
