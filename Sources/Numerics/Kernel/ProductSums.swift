//  Sums of products of magnitudes and of squares: what the sizes of errors are made of.

/// sum over i of `|a[i]| b[i]`.
@inline(__always)
func dotOfMagnitudes(_ a: UnsafePointer<Double>, _ b: UnsafePointer<Double>, _ count: Int) -> Double {
    var (s0, s1, s2, s3) = (0.0, 0.0, 0.0, 0.0)
    var i = 0
    while i + 4 <= count {
        s0 += a[i].magnitude * b[i]
        s1 += a[i + 1].magnitude * b[i + 1]
        s2 += a[i + 2].magnitude * b[i + 2]
        s3 += a[i + 3].magnitude * b[i + 3]
        i += 4
    }
    while i < count {
        s0 += a[i].magnitude * b[i]
        i += 1
    }
    return (s0 + s1) + (s2 + s3)
}

/// sum over i of `a[i]² b[i]`.
@inline(__always)
func dotOfSquares(_ a: UnsafePointer<Double>, _ b: UnsafePointer<Double>, _ count: Int) -> Double {
    var (s0, s1, s2, s3) = (0.0, 0.0, 0.0, 0.0)
    var i = 0
    while i + 4 <= count {
        s0 += a[i] * a[i] * b[i]
        s1 += a[i + 1] * a[i + 1] * b[i + 1]
        s2 += a[i + 2] * a[i + 2] * b[i + 2]
        s3 += a[i + 3] * a[i + 3] * b[i + 3]
        i += 4
    }
    while i < count {
        s0 += a[i] * a[i] * b[i]
        i += 1
    }
    return (s0 + s1) + (s2 + s3)
}
