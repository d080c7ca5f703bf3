//  The operands of one call as plain, mutable fields, so that a fault can change any of them:
//  tensors, runs of tokens, and which head reads what.
//
//  `SSDInputs` is a value that fits together and stays so. A faulty kernel is one whose idea of the
//  operands does not: it resets at the wrong token, reads another head, forgets a bias. Faults of
//  that sort are changes of the fields here; faults of the scan itself are in FaultyScan.swift.

import DualityCore
import DualityReference

/// One sequence of one row.
struct ScanRun {
    let row: Int
    var tokens: Range<Int>
    /// Index along the sequences of the batch.
    let sequence: Int
    /// Index along the initial states; nil for a start from zero.
    var initialState: Int?
}

/// The operands of one call, in float64, free to be wrong.
struct ScanCall {
    var x: Tensor<Double>
    var dt: Tensor<Double>
    var a: Tensor<Double>
    var b: Tensor<Double>
    var c: Tensor<Double>
    var d: Tensor<Double>?
    var z: Tensor<Double>?
    var dtBias: Tensor<Double>?
    var initialState: Tensor<Double>?
    var softplus: Bool
    var limit: ClosedRange<Double>
    var xMap: [Int]
    var bMap: [Int]
    var cMap: [Int]
    var runs: [ScanRun]
    /// Of each sequence: its row, and the position after its last token. A fault may move where
    /// runs begin and end, not where their states are wanted.
    let ends: [(row: Int, end: Int)]
    /// seq_idx as it stands in the file, `[B, L]`; nil without packing.
    var ids: Tensor<Int>?
    let sequences: Int
    /// The number that each head has in the whole call, and how many that has.
    var headNumbers: [Int]
    let allHeads: Int
    /// Whether channels are left out, so that P is not what it was.
    var isCut = false

    var batch: Int { x.shape[0] }
    var length: Int { x.shape[1] }
    var heads: Int { dt.shape[2] }
    var headDim: Int { x.shape[3] }
    var stateDim: Int { b.shape[3] }

    /// - Parameter ids: seq_idx as it stands in the file, where it may return to an earlier number.
    init(_ inputs: SSDInputs<Double>, ids: Tensor<Int>? = nil) {
        (x, dt, a, b, c) = (inputs.x, inputs.dt, inputs.a, inputs.b, inputs.c)
        (d, z, dtBias, initialState) = (inputs.d, inputs.z, inputs.dtBias, inputs.initialState)
        (softplus, limit) = (inputs.dtSoftplus, inputs.dtLimit)
        (xMap, bMap, cMap) = (inputs.headMap.x, inputs.headMap.b, inputs.headMap.c)
        let packing = inputs.packing ?? .whole(batch: inputs.batch, length: inputs.length)
        let perSequence = inputs.initialState.map { $0.shape[0] == packing.count } ?? false
        runs = []
        for (row, pieces) in packing.rows.enumerated() {
            for (i, tokens) in pieces.enumerated() {
                let number = runs.count
                let state = inputs.initialState == nil ? nil : perSequence ? number : i == 0 ? row : nil
                runs.append(ScanRun(row: row, tokens: tokens, sequence: number, initialState: state))
            }
        }
        sequences = packing.count
        headNumbers = Array(0..<inputs.heads)
        allHeads = inputs.heads
        ends = runs.map { ($0.row, $0.tokens.upperBound) }
        self.ids = ids
        if ids == nil, inputs.packing != nil {
            var numbers = Tensor(repeating: 0, shape: [inputs.batch, inputs.length])
            for pieces in packing.rows.enumerated() {
                for (i, tokens) in pieces.element.enumerated() {
                    for t in tokens { numbers.elements[pieces.offset * inputs.length + t] = i }
                }
            }
            self.ids = numbers
        }
    }

    /// Some heads and some channels of the call: y of a head and channel, and its rows of the
    /// state, depend on no others.
    func part(heads chosen: [Int], channels: [Int]) -> ScanCall {
        var call = self
        call.isCut = isCut || channels.count < headDim
        call.headNumbers = chosen.map { headNumbers[$0] }
        call.x = x.selecting(channels, axis: 3)
        call.dt = dt.selecting(chosen, axis: 2)
        call.a = a.selecting(chosen, axis: 0)
        call.d = d.map {
            let own = $0.selecting(chosen, axis: 0)
            return $0.shape.count == 2 ? own.selecting(channels, axis: 1) : own
        }
        call.z = z.map { $0.selecting(chosen, axis: 2).selecting(channels, axis: 3) }
        call.dtBias = dtBias.map { $0.selecting(chosen, axis: 0) }
        call.initialState = initialState.map { $0.selecting(chosen, axis: 1).selecting(channels, axis: 2) }
        (call.xMap, call.bMap, call.cMap) = (chosen.map { xMap[$0] }, chosen.map { bMap[$0] }, chosen.map { cMap[$0] })
        return call
    }
}

extension Tensor {
    /// Index `head` of an axis, which keeps its place with length 1.
    func head(_ head: Int, axis: Int = 2) -> Tensor { selecting([head], axis: axis) }

    /// Puts a tensor whose axis `axis` has length 1 at index `head` of that axis.
    mutating func setHead(_ head: Int, axis: Int = 2, to part: Tensor) {
        let outer = shape[..<axis].reduce(1, *)
        let inner = shape[(axis + 1)...].reduce(1, *)
        for i in 0..<outer {
            let first = (i * shape[axis] + head) * inner
            for j in 0..<inner { elements[first + j] = part.elements[i * inner + j] }
        }
    }

    /// A tensor of a shape that is known to fit.
    init(shape: [Int], unchecked elements: [Element]) {
        guard let tensor = try? Tensor(shape: shape, elements: elements) else {
            preconditionFailure("\(elements.count) elements for shape \(shape)")
        }
        self = tensor
    }
}

/// What a call returns.
struct ScanResult {
    /// `[B, L, H, P]`
    var y: Tensor<Double>
    /// `[B, H, P, N]`
    var finalState: Tensor<Double>
    /// `[S, H, P, N]`
    var sequenceStates: Tensor<Double>

    init(like call: ScanCall) {
        let state = [call.heads, call.headDim, call.stateDim]
        y = Tensor(repeating: 0, shape: [call.batch, call.length, call.heads, call.headDim])
        finalState = Tensor(repeating: 0, shape: [call.batch] + state)
        sequenceStates = Tensor(repeating: 0, shape: [call.sequences] + state)
    }

    init(_ outputs: SSDOutputs<Double>) {
        (y, finalState, sequenceStates) = (outputs.y, outputs.finalState, outputs.sequenceStates)
    }

    /// An output by its name in files; nil for another.
    subscript(name: String) -> Tensor<Double>? {
        switch name {
        case "y": y
        case "final_states": finalState
        case "varlen_states": sequenceStates
        default: nil
        }
    }
}
