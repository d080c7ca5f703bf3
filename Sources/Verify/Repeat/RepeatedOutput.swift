//  Whether two runs of a kernel left the same bits: an output of one run against the same output of
//  another, byte by byte.
//
//  Nothing is rounded and nothing forgiven: -0 differs from 0, and one NaN from another. A kernel
//  that adds in an order of chance (atomics, a race) shows here, also where every run is within its
//  bound.

import DualityCore

/// One output of two runs.
public struct RepeatedOutput: Sendable {
    /// The tensor's name in both files.
    public let name: String
    /// Numbers in it, and those whose bits differ.
    public let count: Int
    /// How many numbers have other bits in the second run.
    public let differing: Int
    /// The full index of the first number that differs, and what each run left there.
    public let first: [Int]?
    /// The first number that differs, in both runs; nil where none does.
    public let values: (first: Double, second: Double)?
    /// The largest |difference|, and that over the largest |number| of the first run.
    public let largest: Double
    /// `largest` over the largest |number| of the first run; infinite where that is zero.
    public let relative: Double
    /// Where the differing numbers lie, axis by axis: `tokens 5-7, head 2`. Empty where none do.
    public let place: String

    /// Whether all bits are the same.
    public var isRepeated: Bool { differing == 0 }

    /// In a line: `y: 12 of 4096 numbers differ, first at [0, 5, 2, 0] …`.
    public var words: String {
        guard let first, let values else { return "\(name): the same bits in all \(count) numbers" }
        return "\(name): \(differing) of \(count) numbers differ from run to run, by up to \(figure(largest)) "
            + "(\(figure(relative)) of the largest number); first at \(first): \(values.first) and "
            + "\(values.second)" + (place.isEmpty ? "" : "; \(place)")
    }

    /// - Throws: `InputError` when the two have other shapes or formats, or cannot be read.
    init(_ name: String, _ first: any TensorSource, _ second: any TensorSource) throws {
        let (a, b) = (try first.info(name), try second.info(name))
        guard a.dtype == b.dtype, a.shape == b.shape else {
            throw InputError(
                a.shape == b.shape ? .dtype : .shape, in: "\(second.place): \(name)",
                expected: "\(a.dtype.rawValue) \(a.shape), as in the first run",
                found: "\(b.dtype.rawValue) \(b.shape)")
        }
        let size = max(a.dtype.bits / 8, 1)
        let differing = try first.withBytes(of: name) { left in
            try second.withBytes(of: name) { right in
                (0..<a.count).filter { i in
                    (i * size..<(i + 1) * size).contains { left[$0] != right[$0] }
                }
            }
        }
        self.name = name
        count = a.count
        self.differing = differing.count
        guard let index = differing.first else {
            (self.first, values, largest, relative, place) = (nil, nil, 0, 0, "")
            return
        }
        let (x, y): (Tensor<Double>, Tensor<Double>) = (try first.tensor(name), try second.tensor(name))
        var (largest, magnitude) = (0.0, 0.0)
        for value in x.elements where value.isFinite { magnitude = max(magnitude, value.magnitude) }
        for i in differing {
            let difference = (x.elements[i] - y.elements[i]).magnitude
            largest = difference.isNaN ? .infinity : max(largest, difference)
        }
        self.first = Self.unravel(index, a.shape)
        values = (x.elements[index], y.elements[index])
        self.largest = largest
        relative = magnitude > 0 ? largest / magnitude : largest > 0 ? .infinity : 0
        place = Self.place(differing, a.shape, Axis.usual(of: name, rank: a.shape.count))
    }

    private static func unravel(_ element: Int, _ shape: [Int]) -> [Int] {
        var rest = element
        var index: [Int] = []
        for length in shape.reversed() {
            index.insert(rest % length, at: 0)
            rest /= length
        }
        return index
    }

    private static func place(_ elements: [Int], _ shape: [Int], _ axes: [Axis]?) -> String {
        guard let axes else { return "" }
        let parts = axes.indices.compactMap { i -> String? in
            let inner = shape[(i + 1)...].reduce(1, *)
            let touched = Set(elements.map { $0 / inner % shape[i] }).sorted()
            guard touched.count < shape[i] else { return nil }
            let word = axes[i].rawValue
            return touched.count > DiagnosisLimits.listedIndices
                ? "\(touched.count) of \(shape[i]) \(word)s"
                : "\(word)\(touched.count == 1 ? "" : "s") \(ranges(touched))"
        }
        return parts.joined(separator: ", ")
    }
}

extension Axis {
    /// The axes of an output by its name, whatever kind of call it is of; nil where the name says
    /// nothing.
    static func usual(of name: String, rank: Int) -> [Axis]? {
        let axes: [Axis]? =
            switch name {
            case "y", "grad_x", "grad_z": [.batch, .token, .head, .channel]
            case "grad_B", "grad_C": [.batch, .token, .head, .state]
            case "grad_dt": [.batch, .token, .head]
            case "final_states", "grad_initial_states", "ssm_state": [.batch, .head, .channel, .state]
            case "varlen_states": [.sequence, .head, .channel, .state]
            case "out", "pre_activation", "out_no_gate":
                rank == 3 ? [.batch, .token, .channel] : [.token, .channel]
            case "conv_state": [.batch, .channel, .state]
            case "grad_A", "grad_dt_bias", "grad_D": rank == 1 ? [.head] : [.head, .channel]
            default: nil
            }
        return axes?.count == rank ? axes : nil
    }
}
