//  What mixes the tokens of a decoder layer: one type for each kind of layer.
//
//      y = mixer(u; memory)          u, y [R, Dm], the rows of all sequences of a pass
//
//  A mixer keeps nothing of a sequence itself. Its memory lies in the caches of the pass, at the
//  layer's index, in the field of its kind (QuantCache.swift).

import DualityCore
import DualityKernels

/// The mixer of a decoder layer, on the kernels of this machine.
protocol SequenceMixer: Sendable {
    /// The matrices that read the normalised stream.
    var inputs: [Projection] { get }
    /// All matrices, each once.
    var projections: [Projection] { get }
    /// Whether states are rounded to bfloat16 after every chunk: to show what that costs.
    var roundsState: Bool { get }

    /// Whether pieces of one sequence in a pass are taken one after another, with copies of its
    /// memory from between (Pass+Rounds.swift).
    var goesInRounds: Bool { get }

    /// The same mixer with the heads of one rank.
    func cut(_ heads: HeadCut) -> any SequenceMixer

    /// Extends every sequence of the pass by its rows.
    ///
    /// - Parameters:
    ///   - u: `[R, Dm]`, packed for `inputs`; may be overwritten once they have been multiplied.
    ///   - caches: of the sequences of the pass; their memory at `layer` is advanced.
    ///   - out: `[R, Dm]`, row t at `out + t * stride`.
    func extend(
        _ u: Activations, in pass: Pass, caches: inout [QuantCache], layer: Int,
        into out: UnsafeMutablePointer<Float>, stride: Int)
}

extension SequenceMixer {
    var roundsState: Bool { false }
    var goesInRounds: Bool { false }
}
