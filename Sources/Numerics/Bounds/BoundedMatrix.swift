//  Matrices whose numbers have bounds on their errors, and what a chunk of a kernel does with them.
//
//      C = A B        |ΔC| <= |ΔA| (|B| + |ΔB|) + |A| |ΔB| + ρ |A| |B| + tiny
//
//  ρ counts the roundings of the product, those of its sum and those of its stored operands.

import DualityCore

/// A matrix, row by row, with a bound on the error of each number.
struct BoundedMatrix {
    let rows: Int
    let columns: Int
    var value: [Double]
    var error: [Double]

    init(_ rows: Int, _ columns: Int, value: [Double], error: [Double]) {
        (self.rows, self.columns, self.value, self.error) = (rows, columns, value, error)
    }

    /// - Parameter relative: the error of each number as a share of it.
    init(_ rows: Int, _ columns: Int, _ value: [Double], relative: Double) {
        self.init(rows, columns, value: value, error: value.map { relative > 0 ? relative * $0.magnitude : 0 })
    }

    var transposed: BoundedMatrix {
        var result = BoundedMatrix(columns, rows, value: value, error: error)
        for i in 0..<rows {
            for j in 0..<columns {
                result.value[j * rows + i] = value[i * columns + j]
                result.error[j * rows + i] = error[i * columns + j]
            }
        }
        return result
    }

    /// This matrix times another.
    ///
    /// - Parameters:
    ///   - rounding: ρ.
    ///   - tiny: what is lost below the smallest number.
    func times(_ other: BoundedMatrix, _ rounding: Double, _ tiny: Double) -> BoundedMatrix {
        let width = other.columns
        var sums = [Double](repeating: 0, count: rows * width)
        var errors = [Double](repeating: tiny, count: rows * width)
        sums.withUnsafeMutableBufferPointer { sums in
            errors.withUnsafeMutableBufferPointer { errors in
                other.value.withUnsafeBufferPointer { b in
                    other.error.withUnsafeBufferPointer { ofB in
                        for i in 0..<rows {
                            for m in 0..<columns {
                                let (a, ofA) = (value[i * columns + m], error[i * columns + m])
                                // A zero is one whatever it is multiplied with.
                                if a == 0 && ofA == 0 { continue }
                                let (whole, own) = (a.magnitude + ofA, ofA + rounding * a.magnitude)
                                for j in 0..<width {
                                    let (x, ofX) = (b[m * width + j], ofB[m * width + j])
                                    if x == 0 && ofX == 0 { continue }
                                    sums[i * width + j] += a * x
                                    errors[i * width + j] += own * x.magnitude + whole * ofX
                                }
                            }
                        }
                    }
                }
            }
        }
        return BoundedMatrix(rows, width, value: sums, error: errors)
    }

    /// Each row times a number of its own.
    func scaled(by factors: [Bounded], _ rounding: Double) -> BoundedMatrix {
        var result = self
        for i in 0..<rows {
            for j in i * columns..<(i + 1) * columns {
                let product = Bounded(value[j], error: error[j]) * factors[i]
                result.value[j] = product.value
                result.error[j] = product.error + rounding * product.value.magnitude
            }
        }
        return result
    }

    /// Number by number.
    func hadamard(_ other: BoundedMatrix, _ rounding: Double) -> BoundedMatrix {
        var result = self
        for i in value.indices where value[i] != 0 || error[i] != 0 {
            let product = Bounded(value[i], error: error[i]) * Bounded(other.value[i], error: other.error[i])
            result.value[i] = product.value
            result.error[i] = product.error + rounding * product.value.magnitude
        }
        return result
    }

    func adding(_ other: BoundedMatrix, _ rounding: Double) -> BoundedMatrix {
        var result = self
        for i in value.indices {
            result.value[i] += other.value[i]
            result.error[i] += other.error[i] + rounding * (value[i].magnitude + other.value[i].magnitude)
        }
        return result
    }

    func negated() -> BoundedMatrix {
        var result = self
        for i in value.indices { result.value[i] = -value[i] }
        return result
    }

    /// After it was stored with this relative error.
    func stored(_ roundoff: Double) -> BoundedMatrix {
        guard roundoff > 0 else { return self }
        var result = self
        for i in value.indices { result.error[i] += roundoff * (value[i].magnitude + error[i]) }
        return result
    }

    /// The lower triangle, with the diagonal or without.
    func lower(diagonal: Bool) -> BoundedMatrix {
        var result = self
        for i in 0..<rows {
            for j in (diagonal ? i + 1 : i)..<max(columns, diagonal ? i + 1 : i) {
                (result.value[i * columns + j], result.error[i * columns + j]) = (0, 0)
            }
        }
        return result
    }

    /// The sum of a row and that of its magnitudes.
    func sum(row: Int) -> (sum: Bounded, magnitude: Double) {
        var (sum, magnitude) = (Bounded(0), 0.0)
        for j in row * columns..<(row + 1) * columns {
            sum.value += value[j]
            sum.error += error[j]
            magnitude += value[j].magnitude
        }
        return (sum, magnitude)
    }

    /// The Euclidean norms of the errors of the columns.
    var errorNorms: [Double] {
        var squares = [Double](repeating: 0, count: columns)
        for i in error.indices { squares[i % max(columns, 1)] += error[i] * error[i] }
        return squares.map { $0.squareRoot() }
    }
}
