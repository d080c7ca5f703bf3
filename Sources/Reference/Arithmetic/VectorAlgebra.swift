//  The handful of vector operations every layer is written in.
//
//  Plain loops over contiguous rows. Sums run in sixteen interleaved partial sums that are then
//  added as a balanced tree: a fixed order, so that a result does not depend on the optimizer; an
//  error chain a sixteenth as long as that of one running sum; and additions that do not wait for
//  each other.

import DualityCore

/// sum over i of `a[i] b[i]`, i in 0 ..< count.
@inlinable @inline(__always)
package func dot<Scalar: RealNumber>(_ a: UnsafePointer<Scalar>, _ b: UnsafePointer<Scalar>, _ count: Int) -> Scalar {
    var (even, odd) = (PartialSums<Scalar>(), PartialSums<Scalar>())
    var i = 0
    while i + 16 <= count {
        even.addProducts(a + i, b + i)
        odd.addProducts(a + i + 8, b + i + 8)
        i += 16
    }
    var tail = Scalar.zero
    while i < count {
        tail += a[i] * b[i]
        i += 1
    }
    return (even.total + odd.total) + tail
}

/// Eight running sums, which the compiler keeps in vector registers.
@usableFromInline
struct PartialSums<Scalar: RealNumber> {
    @usableFromInline
    var s0 = Scalar.zero, s1 = Scalar.zero, s2 = Scalar.zero, s3 = Scalar.zero
    @usableFromInline
    var s4 = Scalar.zero, s5 = Scalar.zero, s6 = Scalar.zero, s7 = Scalar.zero

    @inlinable @inline(__always)
    init() {}

    @inlinable @inline(__always)
    mutating func addProducts(_ a: UnsafePointer<Scalar>, _ b: UnsafePointer<Scalar>) {
        s0 += a[0] * b[0]
        s1 += a[1] * b[1]
        s2 += a[2] * b[2]
        s3 += a[3] * b[3]
        s4 += a[4] * b[4]
        s5 += a[5] * b[5]
        s6 += a[6] * b[6]
        s7 += a[7] * b[7]
    }

    @inlinable @inline(__always)
    var total: Scalar { ((s0 + s1) + (s2 + s3)) + ((s4 + s5) + (s6 + s7)) }
}

/// `y[i] += factor x[i]`, i in 0 ..< count.
@inlinable @inline(__always)
package func addScaled<Scalar: RealNumber>(
    _ factor: Scalar, _ x: UnsafePointer<Scalar>, to y: UnsafeMutablePointer<Scalar>, _ count: Int
) {
    for i in 0..<count { y[i] += factor * x[i] }
}

/// Lends the elements of two tensors to a loop.
@inline(__always)
func withRows<Scalar, Result>(
    _ a: Tensor<Scalar>, _ b: Tensor<Scalar>,
    _ body: (UnsafePointer<Scalar>, UnsafePointer<Scalar>) throws -> Result
) rethrows -> Result {
    try withRows(of: a) { a in try withRows(of: b) { b in try body(a, b) } }
}

/// Lends the elements of a tensor to a loop; an empty tensor lends a pointer that must not be read.
@inline(__always)
func withRows<Scalar, Result>(
    of tensor: Tensor<Scalar>, _ body: (UnsafePointer<Scalar>) throws -> Result
) rethrows -> Result {
    try tensor.elements.withUnsafeBufferPointer { try body($0.baseAddress ?? UnsafePointer(bitPattern: 64)!) }
}

/// Lends the elements of a tensor to a loop that writes them.
@inline(__always)
func withRows<Scalar, Result>(
    of tensor: inout Tensor<Scalar>, _ body: (UnsafeMutablePointer<Scalar>) throws -> Result
) rethrows -> Result {
    try tensor.elements.withUnsafeMutableBufferPointer {
        try body($0.baseAddress ?? UnsafeMutablePointer(bitPattern: 64)!)
    }
}
