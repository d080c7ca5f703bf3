//  How long a step takes: a line in its rows and in the keys that they read, fitted to the last few
//  hundred steps, where older ones count less.
//
//      seconds = a + b rows + c keys               keys = sum over rows of the tokens before
//
//  No line fits all steps: few rows come for the price of the weights, many cost their arithmetic.
//  Errors count relative to the time, so that the line is true of the short steps, which are those
//  that it decides about, and not of the longest ones alone. What the steps at the start say of the
//  price of a row is never forgotten, for a thousand steps of one row each say nothing of it.
//
//  The clock decides only how prompts are cut, never what is computed.

/// The times of steps.
struct StepTimes {
    private(set) var fixed = 0.0
    private(set) var perRow = 0.0
    private(set) var perKey = 0.0
    private var recent = Sums()
    private var first = Sums()

    /// What a step counts for after another one.
    private static let forgetting = 0.99
    /// What a step at the start always counts for.
    private static let remembrance = 0.01
    /// Rows and keys in units in which they are near 1.
    private static let units: [Double] = [1, 1.0 / 64, 1.0 / 65536]

    /// Weighted sums of products of 1, rows and keys, and of these with seconds.
    private struct Sums {
        var products = [Double](repeating: 0, count: 9)
        var targets = [Double](repeating: 0, count: 3)

        mutating func add(_ x: [Double], _ y: Double, forgetting: Double) {
            for i in 0..<3 {
                for j in 0..<3 { products[3 * i + j] = products[3 * i + j] * forgetting + x[i] * x[j] }
                targets[i] = targets[i] * forgetting + x[i] * y
            }
        }
    }

    /// - Parameter isFirst: of those at the start.
    mutating func observe(rows: Int, keys: Int, seconds: Double, isFirst: Bool = false) {
        let weight = 1 / max(seconds, 1e-6)
        let x = zip([1, Double(rows), Double(keys)], Self.units).map { $0 * $1 * weight }
        if isFirst { first.add(x, 1, forgetting: 1) }
        recent.add(x, 1, forgetting: Self.forgetting)
        fit()
    }

    func seconds(rows: Int, keys: Int) -> Double { fixed + perRow * Double(rows) + perKey * Double(keys) }

    /// How many rows of a prompt keep a step within `slowdown` times what it takes without them.
    ///
    /// - Parameters:
    ///   - decoding: rows that are there anyway, and the keys that they read.
    ///   - position: tokens before the prompt's rows.
    func rows(beside decoding: Int, keys: Int, at position: Int, slowdown: Double) -> Int {
        let room = (slowdown - 1) * seconds(rows: decoding, keys: keys)
        let perRow = max(perRow + perKey * Double(position), 1e-9)
        return Int(min(max(room / perRow, 0), 1e6))
    }

    /// Least squares, with none of the coefficients below zero.
    private mutating func fit() {
        var sums = recent
        for i in 0..<9 { sums.products[i] += Self.remembrance * first.products[i] }
        for i in 0..<3 { sums.targets[i] += Self.remembrance * first.targets[i] }
        var free = [0, 1, 2]
        while true {
            let solution = Self.solve(sums, free)
            guard let worst = free.indices.min(by: { solution[$0] < solution[$1] }), solution[worst] < 0,
                free.count > 1
            else {
                var all = [0.0, 0, 0]
                for (i, value) in zip(free, solution) { all[i] = max(value, 0) * Self.units[i] }
                (fixed, perRow, perKey) = (all[0], all[1], all[2])
                return
            }
            free.remove(at: worst)
        }
    }

    /// Gauss's elimination of some of the normal equations, with a hair added to the diagonal for
    /// steps that are all alike.
    private static func solve(_ sums: Sums, _ free: [Int]) -> [Double] {
        let (n, hair) = (free.count, 1e-8 * sums.products[0])
        var a = free.map { i in free.map { j in sums.products[3 * i + j] + (i == j ? hair : 0) } }
        var b = free.map { sums.targets[$0] }
        for k in 0..<n {
            for i in k + 1..<max(n, k + 1) {
                let factor = a[i][k] / a[k][k]
                for j in k..<n { a[i][j] -= factor * a[k][j] }
                b[i] -= factor * b[k]
            }
        }
        var x = [Double](repeating: 0, count: n)
        for k in (0..<n).reversed() {
            x[k] = (b[k] - (k + 1..<max(n, k + 1)).reduce(0) { $0 + a[k][$1] * x[$1] }) / a[k][k]
        }
        return x
    }
}
