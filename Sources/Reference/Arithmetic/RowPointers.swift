//  Arrays lent to a loop, several at once.

/// Lends two arrays to a loop that writes them. An empty array lends a pointer that must not be
/// followed.
@inlinable @inline(__always)
package func withPointers<Result>(
    to a: inout [Double], _ b: inout [Double],
    _ body: (UnsafeMutablePointer<Double>, UnsafeMutablePointer<Double>) -> Result
) -> Result {
    a.withUnsafeMutableBufferPointer { a in
        b.withUnsafeMutableBufferPointer { b in body(a.base, b.base) }
    }
}

/// Lends three arrays to a loop that writes them.
@inlinable @inline(__always)
package func withPointers<Result>(
    to a: inout [Double], _ b: inout [Double], _ c: inout [Double],
    _ body: (UnsafeMutablePointer<Double>, UnsafeMutablePointer<Double>, UnsafeMutablePointer<Double>) -> Result
) -> Result {
    withPointers(to: &a, &b) { a, b in c.withUnsafeMutableBufferPointer { body(a, b, $0.base) } }
}

/// Lends four arrays to a loop that writes them.
@inlinable @inline(__always)
package func withPointers<Result>(
    to a: inout [Double], _ b: inout [Double], _ c: inout [Double], _ d: inout [Double],
    _ body: (
        UnsafeMutablePointer<Double>, UnsafeMutablePointer<Double>, UnsafeMutablePointer<Double>,
        UnsafeMutablePointer<Double>
    ) -> Result
) -> Result {
    withPointers(to: &a, &b) { a, b in withPointers(to: &c, &d) { c, d in body(a, b, c, d) } }
}

/// Lends two arrays to a loop that reads them.
@inlinable @inline(__always)
package func withPointers<Result>(
    _ a: [Double], _ b: [Double], _ body: (UnsafePointer<Double>, UnsafePointer<Double>) -> Result
) -> Result {
    a.withUnsafeBufferPointer { a in b.withUnsafeBufferPointer { b in body(a.base, b.base) } }
}

/// Lends four arrays to a loop that reads them.
@inlinable @inline(__always)
package func withPointers<Result>(
    _ a: [Double], _ b: [Double], _ c: [Double], _ d: [Double],
    body: (UnsafePointer<Double>, UnsafePointer<Double>, UnsafePointer<Double>, UnsafePointer<Double>) -> Result
) -> Result {
    withPointers(a, b) { a, b in withPointers(c, d) { c, d in body(a, b, c, d) } }
}

extension UnsafeBufferPointer<Double> {
    @inlinable @inline(__always)
    package var base: UnsafePointer<Double> { baseAddress ?? UnsafePointer(bitPattern: 64)! }
}

extension UnsafeMutableBufferPointer<Double> {
    @inlinable @inline(__always)
    package var base: UnsafeMutablePointer<Double> { baseAddress ?? UnsafeMutablePointer(bitPattern: 64)! }
}
