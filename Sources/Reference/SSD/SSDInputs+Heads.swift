//  Some of the heads of a call, as a call of their own.
//
//  Heads do not see each other, so that whatever is computed of all of them (outputs, bounds,
//  sigmas) is what is computed of each. A caller with several cores gives each of them some heads;
//  the reference itself starts no threads.

import DualityCore

extension SSDInputs {
    /// The operands of the SSM heads in `range` alone. Heads of x, B and C that none of them reads
    /// are left out.
    ///
    /// - Throws: `InputError` (`.value`) when there are no such heads.
    /// - Complexity: O(B L (P + N)) a head, for the copies.
    public func heads(_ range: Range<Int>) throws(InputError) -> SSDInputs {
        guard !range.isEmpty, range.lowerBound >= 0, range.upperBound <= heads else {
            throw InputError(.value, in: "heads", expected: "some of 0 ..< \(heads)", found: "\(range)")
        }
        if range == 0..<heads { return self }
        let (xHeads, x) = read(headMap.x[range], of: self.x)
        let (bHeads, b) = read(headMap.b[range], of: self.b)
        let (cHeads, c) = read(headMap.c[range], of: self.c)
        return try SSDInputs(
            x: x, dt: dt.selecting(Array(range), axis: 2), a: a.selecting(Array(range), axis: 0), b: b, c: c,
            d: d?.selecting(Array(range), axis: 0), z: z?.selecting(Array(range), axis: 2),
            dtBias: dtBias?.selecting(Array(range), axis: 0),
            initialState: initialState?.selecting(Array(range), axis: 1), packing: packing,
            headMap: HeadMap(x: xHeads, b: bHeads, c: cHeads), dtSoftplus: dtSoftplus, dtLimit: dtLimit,
            allowsNonFinite: true)
    }

    /// The heads of an operand that are read, in order, and the map to their new places.
    private func read(
        _ map: ArraySlice<Int>, of tensor: Tensor<Scalar>
    ) -> (map: [Int], tensor: Tensor<Scalar>) {
        let kept = Array(Set(map)).sorted()
        let places = Dictionary(uniqueKeysWithValues: kept.enumerated().map { ($1, $0) })
        return (map.map { places[$0] ?? 0 }, tensor.selecting(kept, axis: 2))
    }
}
