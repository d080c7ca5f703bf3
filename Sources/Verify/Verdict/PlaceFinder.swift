//  Where an output goes wrong: the first place in the order of tokens, the worst one, and the
//  course along tokens and heads.

import DualityCore
import DualityReference

struct PlaceFinder {
    let found: Tensor<Double>
    let expected: Expectation
    let chunkSize: Int?

    /// The first element outside and the worst one. Outside is beyond the sigma limit; where
    /// nothing is, beyond the bound.
    ///
    /// - Parameter ratios: error / sigma of every element.
    func find(_ ratios: [Double]) -> (first: Place?, worst: Place?) {
        var (firstOfBound, firstOfSigma): (Int?, Int?) = (nil, nil)
        var worst = 0
        let token = expected.reader(.token)
        func isEarlier(_ a: Int, than b: Int?) -> Bool {
            guard let b else { return true }
            guard let token else { return a < b }
            return token(a) < token(b)
        }
        for i in ratios.indices {
            if ratios[i] > ratios[worst] { worst = i }
            let error = (found.elements[i] - expected.exact.elements[i]).magnitude
            if let bound = expected.bound?.elements[i], error > bound || (error.isNaN && bound < .infinity),
                isEarlier(i, than: firstOfBound)
            {
                firstOfBound = i
            }
            if ratios[i] > Limits.sigma, isEarlier(i, than: firstOfSigma) { firstOfSigma = i }
        }
        // The sigma limit is the sharper of the two: it dates the beginning of what then leaves the
        // bound.
        let first = firstOfSigma ?? firstOfBound
        return (first.map(place), ratios.isEmpty ? nil : place(worst))
    }

    private func place(_ element: Int) -> Place {
        var index: [Int] = []
        var rest = element
        for length in expected.exact.shape.reversed() {
            index.insert(rest % length, at: 0)
            rest /= length
        }
        let token = expected.reader(.token)?(element)
        return Place(
            index: index, token: token, head: expected.reader(.head)?(element),
            channel: expected.reader(.channel)?(element),
            row: (expected.reader(.batch) ?? expected.reader(.sequence) ?? expected.reader(.row))?(element),
            chunk: token.flatMap { t in chunkSize.map { t / $0 } },
            positionInChunk: token.flatMap { t in chunkSize.map { t % $0 } },
            found: found.elements[element], expected: expected.exact.elements[element],
            bound: expected.bound?.elements[element], sigma: expected.sigma.elements[element])
    }

    /// The course of the error along the tokens; nil without a token axis or with fewer than eight
    /// tokens.
    func growth() -> Growth? {
        guard let token = expected.reader(.token) else { return nil }
        let tokens = token.length
        guard tokens >= 8 else { return nil }
        let bins = min(tokens, 48)
        var squares = [Double](repeating: 0, count: bins)
        var ratios = squares
        var counts = squares
        for i in found.elements.indices {
            let t = token(i)
            let error = found.elements[i] - expected.exact.elements[i]
            guard error.isFinite else { continue }
            let bin = t * bins / tokens
            let ratio = error == 0 ? 0 : error / expected.sigma.elements[i]
            squares[bin] += error * error
            ratios[bin] += ratio * ratio
            counts[bin] += 1
        }
        func root(_ sums: [Double]) -> [Double] { zip(sums, counts).map { ($0 / max($1, 1)).squareRoot() } }
        let firsts = (0..<bins).map { ($0 * tokens + bins - 1) / bins }
        let rms = root(squares)
        let exponent = Self.exponent(of: rms, at: firsts)
        let words =
            switch exponent {
            case ..<0.2: exponent < -0.2 ? "falls with the position" : "flat"
            case ..<0.75: "grows like the square root of the position"
            case ..<1.5: "grows linearly with the position"
            default: "grows faster than linearly"
            }
        return Growth(tokens: firsts, rms: rms, overSigma: root(ratios), words: words, exponent: exponent)
    }

    /// The slope of ln rms over ln position, least squares over the bins that have an error.
    private static func exponent(of rms: [Double], at tokens: [Int]) -> Double {
        let points = zip(tokens, rms).filter { $1 > 0 }.map { (Double.log(Double($0) + 1), Double.log($1)) }
        guard points.count >= 4 else { return 0 }
        let n = Double(points.count)
        let (mx, my) = (points.reduce(0) { $0 + $1.0 } / n, points.reduce(0) { $0 + $1.1 } / n)
        let sxx = points.reduce(0) { $0 + ($1.0 - mx) * ($1.0 - mx) }
        let sxy = points.reduce(0) { $0 + ($1.0 - mx) * ($1.1 - my) }
        return sxx > 0 ? sxy / sxx : 0
    }

    /// error / sigma by token and head; nil without both axes.
    func map() -> ErrorMap? {
        guard let token = expected.reader(.token), let head = expected.reader(.head) else { return nil }
        let (tokens, heads) = (token.length, head.length)
        guard tokens > 0 else { return nil }
        let columns = min(tokens, 96)
        var largest = [Double](repeating: 0, count: heads * columns)
        var squares = [Double](repeating: 0, count: heads)
        for i in found.elements.indices {
            let (t, h) = (token(i), head(i))
            let error = (found.elements[i] - expected.exact.elements[i]).magnitude
            let ratio = error == 0 ? 0 : error.isFinite ? error / expected.sigma.elements[i] : .infinity
            let cell = h * columns + t * columns / tokens
            largest[cell] = max(largest[cell], ratio)
            squares[h] += ratio * ratio
        }
        let perHead = Double(max(found.count / max(heads, 1), 1))
        return ErrorMap(
            tokens: (0..<columns).map { ($0 * tokens + columns - 1) / columns }, heads: heads, overSigma: largest,
            headRMS: squares.map { ($0 / perHead).squareRoot() })
    }
}

/// A number for people: three significant digits.
func figure(_ value: Double) -> String {
    guard value.isFinite else { return value.isNaN ? "NaN" : value > 0 ? "inf" : "-inf" }
    let magnitude = value.magnitude
    if magnitude == 0 { return "0" }
    if magnitude >= 1000 || magnitude < 0.001 {
        var exponent = 0
        var mantissa = value
        while mantissa.magnitude >= 10 {
            mantissa /= 10
            exponent += 1
        }
        while mantissa.magnitude < 1 {
            mantissa *= 10
            exponent -= 1
        }
        return "\((mantissa * 10).rounded() / 10)e\(exponent)"
    }
    let scale = magnitude >= 100 ? 1.0 : magnitude >= 10 ? 10 : magnitude >= 1 ? 100 : 1000
    let rounded = (value * scale).rounded() / scale
    return scale == 1 ? "\(Int(rounded))" : "\(rounded)"
}
