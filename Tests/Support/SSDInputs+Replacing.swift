//  A call of the operator with some operands replaced, or cut to some of its tokens.

import DualityCore
import DualityReference

extension SSDInputs {
    /// The same operands with some of them replaced.
    package func replacing(
        x: Tensor<Scalar>? = nil, dt: Tensor<Scalar>? = nil, a: Tensor<Scalar>? = nil, b: Tensor<Scalar>? = nil,
        c: Tensor<Scalar>? = nil, d: Tensor<Scalar>?? = nil, z: Tensor<Scalar>?? = nil,
        dtBias: Tensor<Scalar>?? = nil, initialState: Tensor<Scalar>?? = nil, packing: Packing?? = nil,
        headMap: HeadMap? = nil, dtSoftplus: Bool? = nil, dtLimit: ClosedRange<Double>? = nil
    ) throws -> SSDInputs {
        try SSDInputs(
            x: x ?? self.x, dt: dt ?? self.dt, a: a ?? self.a, b: b ?? self.b, c: c ?? self.c, d: d ?? self.d,
            z: z ?? self.z, dtBias: dtBias ?? self.dtBias, initialState: initialState ?? self.initialState,
            packing: packing ?? self.packing, headMap: headMap ?? self.headMap,
            dtSoftplus: dtSoftplus ?? self.dtSoftplus,
            dtLimit: dtLimit ?? self.dtLimit)
    }

    /// Tokens `range` alone, as one sequence entered with `initialState`.
    package func tokens(_ range: Range<Int>, initialState: Tensor<Scalar>?) throws -> SSDInputs {
        try replacing(
            x: x.tokens(range), dt: dt.tokens(range), b: b.tokens(range), c: c.tokens(range), z: z?.tokens(range),
            initialState: initialState, packing: .some(nil))
    }
}

extension Tensor {
    /// `self[:, range]`.
    package func tokens(_ range: Range<Int>) throws -> Tensor {
        let width = shape[2...].reduce(1, *)
        var elements: [Element] = []
        for row in 0..<shape[0] {
            let first = row * shape[1]
            elements += self.elements[(first + range.lowerBound) * width..<(first + range.upperBound) * width]
        }
        return try Tensor(shape: [shape[0], range.count] + shape[2...], elements: elements)
    }
}
