//  The one matrix product that the chunked and quadratic forms are made of.
//
//      out[i, j] += sum over k of a[i, k] b[k, j]
//
//  Plain loops, arranged so that the innermost runs along contiguous rows of b and out and that one
//  pass over out takes up four values of k for two values of i. The order of the additions is fixed
//  by the shapes alone.

import DualityCore

/// Where a matrix lies in an array: element (i, j) is number `start + i * row + j * column`.
struct MatrixLayout {
    var start: Int
    var row: Int
    var column: Int

    /// Rows of `width` contiguous numbers, from row number `first` of the array on.
    static func rows(from first: Int = 0, width: Int) -> MatrixLayout {
        MatrixLayout(start: first * width, row: width, column: 1)
    }

    var transposed: MatrixLayout { MatrixLayout(start: start, row: column, column: row) }
}

/// out += a b, for `rows` rows and `columns` columns of out and `depth` terms in each sum.
///
/// - Precondition: the rows of b and out are contiguous; out overlaps neither a nor b.
@inline(__always)
func addProduct<Scalar: RealNumber>(
    _ a: UnsafePointer<Scalar>, as aLayout: MatrixLayout, times b: UnsafePointer<Scalar>, as bLayout: MatrixLayout,
    to out: UnsafeMutablePointer<Scalar>, as outLayout: MatrixLayout, rows: Int, depth: Int, columns: Int
) {
    precondition(bLayout.column == 1 && outLayout.column == 1)
    let out = out + outLayout.start
    let b = b + bLayout.start
    let a = a + aLayout.start
    var i = 0
    while i + 2 <= rows {
        let upper = out + i * outLayout.row
        let lower = upper + outLayout.row
        var k = 0
        while k + 4 <= depth {
            let b0 = b + k * bLayout.row
            let b1 = b0 + bLayout.row
            let b2 = b1 + bLayout.row
            let b3 = b2 + bLayout.row
            let p = a + i * aLayout.row + k * aLayout.column
            let q = p + aLayout.row
            let (p0, p1, p2, p3) = (p[0], p[aLayout.column], p[2 * aLayout.column], p[3 * aLayout.column])
            let (q0, q1, q2, q3) = (q[0], q[aLayout.column], q[2 * aLayout.column], q[3 * aLayout.column])
            for j in 0..<columns {
                upper[j] += (p0 * b0[j] + p1 * b1[j]) + (p2 * b2[j] + p3 * b3[j])
                lower[j] += (q0 * b0[j] + q1 * b1[j]) + (q2 * b2[j] + q3 * b3[j])
            }
            k += 4
        }
        while k < depth {
            addScaled(a[i * aLayout.row + k * aLayout.column], b + k * bLayout.row, to: upper, columns)
            addScaled(a[(i + 1) * aLayout.row + k * aLayout.column], b + k * bLayout.row, to: lower, columns)
            k += 1
        }
        i += 2
    }
    if i < rows {
        let last = out + i * outLayout.row
        var k = 0
        while k + 4 <= depth {
            let b0 = b + k * bLayout.row
            let b1 = b0 + bLayout.row
            let b2 = b1 + bLayout.row
            let b3 = b2 + bLayout.row
            let p = a + i * aLayout.row + k * aLayout.column
            let (p0, p1, p2, p3) = (p[0], p[aLayout.column], p[2 * aLayout.column], p[3 * aLayout.column])
            for j in 0..<columns { last[j] += (p0 * b0[j] + p1 * b1[j]) + (p2 * b2[j] + p3 * b3[j]) }
            k += 4
        }
        while k < depth {
            addScaled(a[i * aLayout.row + k * aLayout.column], b + k * bLayout.row, to: last, columns)
            k += 1
        }
    }
}
