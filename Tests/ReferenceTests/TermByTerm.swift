//  The operator term by term: what Definition.swift is held against.

import DualityCore
import DualityReference

/// The unrolled recurrence, written out without regard to cost: every term of y by itself, decays
/// as products of their logarithms' own sums. Shares no code with the forms.
func termByTerm(_ inputs: SSDInputs<Double>) -> (y: [Double], state: [Double]) {
    let (batch, length, heads) = (inputs.batch, inputs.length, inputs.heads)
    let (headDim, stateDim) = (inputs.headDim, inputs.stateDim)
    var y: [Double] = []
    var states: [Double] = []
    func step(_ row: Int, _ t: Int, _ h: Int) -> Double {
        let u = inputs.dt[row, t, h] + (inputs.dtBias?[h] ?? 0)
        let step = inputs.dtSoftplus && u <= 20 ? Double.log(onePlus: .exp(u)) : u
        return min(max(step, inputs.dtLimit.lowerBound), inputs.dtLimit.upperBound)
    }
    func state(_ row: Int, _ t: Int, _ h: Int, _ p: Int, _ n: Int) -> Double {
        var sum = 0.0
        var logDecay = 0.0
        for s in stride(from: t, through: 0, by: -1) {
            sum +=
                Double.exp(logDecay) * step(row, s, h) * inputs.x[row, s, inputs.headMap.x[h], p]
                * inputs.b[row, s, inputs.headMap.b[h], n]
            logDecay += step(row, s, h) * inputs.a[h]
        }
        return sum + Double.exp(logDecay) * (inputs.initialState?[row, h, p, n] ?? 0)
    }
    for row in 0..<batch {
        for t in 0..<length {
            for h in 0..<heads {
                for p in 0..<headDim {
                    var value = 0.0
                    for n in 0..<stateDim {
                        value += state(row, t, h, p, n) * inputs.c[row, t, inputs.headMap.c[h], n]
                    }
                    if let d = inputs.d {
                        value += (d.shape.count == 2 ? d[h, p] : d[h]) * inputs.x[row, t, inputs.headMap.x[h], p]
                    }
                    if let z = inputs.z { value *= z[row, t, h, p] / (1 + .exp(-z[row, t, h, p])) }
                    y.append(value)
                }
            }
        }
        for h in 0..<heads {
            for p in 0..<headDim {
                for n in 0..<stateDim { states.append(state(row, length - 1, h, p, n)) }
            }
        }
    }
    return (y, states)
}
