//  What stood in the state at the start of a sequence, found out from what it did to the outputs.
//
//      y_t - exact_t = silu(z_t) e^(ℓ_t) δ C_t          S_end - exact = e^(ℓ_end) δ          δ [P, N], unknown
//
//  Every row of δ is the least-squares solution of its own equations, each weighted by 1 / sigma².
//  A sequence of T tokens has T equations for the N unknowns of a row, and N more where its state
//  was handed in; where there are not enough of them to contradict the solution nothing is
//  concluded.

import DualityCore
import DualityReference

/// The outputs of a call whose states began with something else.
struct StateShift {
    /// In the order of the evidence.
    private(set) var outputs: [Double]

    private let view: ScanView
    /// Where each output begins in the evidence.
    private var offsets: [String: Int] = [:]
    /// ℓ_t from the start of the sequence, and the gate where there is one.
    private let logs: [Double]

    /// - Parameter onlyWithoutState: whether sequences that were given an initial state are taken
    ///   to have begun with it.
    /// - Returns: nil where no sequence has equations enough.
    /// - Complexity: O(L P H N² + S H P N³) of what is looked at.
    init?(_ view: ScanView, onlyWithoutState: Bool) {
        self.view = view
        let call = view.call
        outputs = view.evidence.exact
        var first = 0
        for (name, elements) in view.evidence.outputs {
            offsets[name] = first
            first += elements.count
        }
        guard offsets["y"] != nil, let scan = FaultyScan(call, [], chunkSize: max(call.length, 1)) else { return nil }
        let steps = scan.effectiveSteps()
        logs = (0..<call.batch * call.length * call.heads).map { steps.elements[$0] * call.a.elements[$0 % call.heads] }
        var isFound = false
        for (i, run) in call.runs.enumerated() where !(onlyWithoutState && run.initialState != nil) {
            let isLast = i + 1 == call.runs.count || call.runs[i + 1].row != run.row
            for head in 0..<call.heads {
                for channel in 0..<call.headDim {
                    isFound = fit(run, isLast: isLast, head, channel) || isFound
                }
            }
        }
        guard isFound else { return nil }
    }

    /// One equation: `Σ_n columns[n] δ[n] = error`, of a number of the evidence.
    private struct Equation {
        let place: Int
        let weight: Double
        let columns: [Double]
    }

    /// Finds one row of δ and adds what it does to the outputs.
    ///
    /// - Returns: whether there were equations enough.
    private mutating func fit(_ run: ScanRun, isLast: Bool, _ head: Int, _ channel: Int) -> Bool {
        let equations = equations(run, isLast: isLast, head, channel)
        let width = view.call.stateDim
        guard equations.count >= width + max(width / 4, 4) else { return false }
        let evidence = view.evidence
        var matrix = [Double](repeating: 0, count: width * width)
        var right = [Double](repeating: 0, count: width)
        for equation in equations {
            let error = evidence.found[equation.place] - evidence.exact[equation.place]
            guard error.isFinite else { return false }
            for i in 0..<width {
                let scaled = equation.weight * equation.columns[i]
                right[i] += scaled * error
                for j in 0...i { matrix[i * width + j] += scaled * equation.columns[j] }
            }
        }
        guard let shift = solved(&matrix, right) else { return false }
        for equation in equations {
            outputs[equation.place] += zip(equation.columns, shift).reduce(0) { $0 + $1.0 * $1.1 }
        }
        return true
    }

    private func equations(_ run: ScanRun, isLast: Bool, _ head: Int, _ channel: Int) -> [Equation] {
        let (call, evidence) = (view.call, view.evidence)
        let (heads, width) = (call.heads, call.stateDim)
        var equations: [Equation] = []
        var sum = 0.0
        func add(_ place: Int, _ columns: [Double]) {
            let sigma = evidence.sigma[place]
            // What has decayed below rounding says nothing.
            let size = columns.reduce(0) { max($0, $1.magnitude) }
            guard sigma > 0, size > 1e-12 else { return }
            equations.append(Equation(place: place, weight: 1 / (sigma * sigma), columns: columns))
        }
        for t in run.tokens {
            let token = run.row * call.length + t
            sum += logs[token * heads + head]
            let element = (token * heads + head) * call.headDim + channel
            let decay = Double.exp(sum) * (call.z.map { Double.silu($0.elements[element]) } ?? 1)
            let first = (token * call.c.shape[2] + call.cMap[head]) * width
            add((offsets["y"] ?? 0) + element, (0..<width).map { decay * call.c.elements[first + $0] })
        }
        func addState(_ name: String, _ index: Int) {
            guard let offset = offsets[name] else { return }
            for n in 0..<width {
                var columns = [Double](repeating: 0, count: width)
                columns[n] = Double.exp(sum)
                add(offset + ((index * heads + head) * call.headDim + channel) * width + n, columns)
            }
        }
        addState("varlen_states", run.sequence)
        if isLast { addState("final_states", run.row) }
        return equations
    }

    /// The solution of a symmetric positive system by Cholesky's method, with a ridge of 1e-12 of
    /// the diagonal for what the equations leave open; nil where that fails.
    ///
    /// - Parameter matrix: its lower triangle, row-major; overwritten.
    private func solved(_ matrix: inout [Double], _ right: [Double]) -> [Double]? {
        let n = right.count
        let trace = (0..<n).reduce(0.0) { $0 + matrix[$1 * n + $1] }
        for i in 0..<n { matrix[i * n + i] += 1e-12 * trace / Double(n) }
        for i in 0..<n {
            for j in 0...i {
                var sum = matrix[i * n + j]
                for k in 0..<j { sum -= matrix[i * n + k] * matrix[j * n + k] }
                if i == j {
                    guard sum > 0 else { return nil }
                    matrix[i * n + i] = sum.squareRoot()
                } else {
                    matrix[i * n + j] = sum / matrix[j * n + j]
                }
            }
        }
        var solution = right
        for i in 0..<n {
            for k in 0..<i { solution[i] -= matrix[i * n + k] * solution[k] }
            solution[i] /= matrix[i * n + i]
        }
        for i in (0..<n).reversed() {
            for k in i + 1..<n { solution[i] -= matrix[k * n + i] * solution[k] }
            solution[i] /= matrix[i * n + i]
        }
        return solution
    }
}
