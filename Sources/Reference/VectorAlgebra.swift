//  The handful of vector operations every layer is written in.
//
//  Plain loops over contiguous rows. Sums run in eight interleaved partial sums that are then added as a balanced tree:
//  a fixed order, so that a result does not depend on the optimizer; an error chain an eighth as long as that of one
//  running sum; and eight additions that do not wait for each other.

import DualityCore

/// sum over i of `a[i] b[i]`, i in 0 ..< count.
@inline(__always)
func dot<Scalar: RealNumber>(_ a: UnsafePointer<Scalar>, _ b: UnsafePointer<Scalar>, _ count: Int) -> Scalar {
    var s0 = Scalar.zero
    var s1 = Scalar.zero
    var s2 = Scalar.zero
    var s3 = Scalar.zero
    var s4 = Scalar.zero
    var s5 = Scalar.zero
    var s6 = Scalar.zero
    var s7 = Scalar.zero
    var i = 0
    while i + 8 <= count {
        s0 += a[i] * b[i]
        s1 += a[i + 1] * b[i + 1]
        s2 += a[i + 2] * b[i + 2]
        s3 += a[i + 3] * b[i + 3]
        s4 += a[i + 4] * b[i + 4]
        s5 += a[i + 5] * b[i + 5]
        s6 += a[i + 6] * b[i + 6]
        s7 += a[i + 7] * b[i + 7]
        i += 8
    }
    var tail = Scalar.zero
    while i < count {
        tail += a[i] * b[i]
        i += 1
    }
    return (((s0 + s1) + (s2 + s3)) + ((s4 + s5) + (s6 + s7))) + tail
}

/// `y[i] += factor x[i]`, i in 0 ..< count.
@inline(__always)
func addScaled<Scalar: RealNumber>(
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
