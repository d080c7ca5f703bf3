//  A call of softmax attention, and what one query of it comes to with a fault.

import DualityCore
import DualityNumerics
import DualityReference

/// Operands and options.
struct AttentionCall: Sendable {
    /// `[B, L, H, D]`.
    var q: Tensor<Double>
    /// `[B, M, Hkv, D]`.
    var k: Tensor<Double>
    /// `[B, M, Hkv, V]`.
    var v: Tensor<Double>
    /// `[H]`: logits that take weight and have no value.
    var sinks: Tensor<Double>?
    var scale: Double
    var isCausal: Bool
    /// Keys a query sees, itself the last; nil for all.
    var window: Int?
    /// The first keys, which every query sees whatever its window.
    var sinkTokens: Int

    var length: Int { q.shape[1] }
    var keyCount: Int { k.shape[1] }
    var heads: Int { q.shape[2] }
    var valueDim: Int { v.shape[3] }

    /// Whether query t sees key s.
    func sees(_ t: Int, _ s: Int, _ fault: AttentionFault? = nil) -> Bool {
        var position = t + keyCount - length
        if fault == .maskTopLeft { position = t }
        if fault == .lastBlockMissing, s >= keyCount / AttentionFault.block * AttentionFault.block { return false }
        if fault == .lastBlockAlone, s < AttentionFault.block { return false }
        if isCausal && fault != .maskMissing {
            let last = fault == .maskStrict ? position - 1 : fault == .maskLate ? position + 1 : position
            guard s <= last else { return false }
        }
        guard let window, fault != .windowIgnored else { return true }
        if s < sinkTokens && fault != .sinkTokensIgnored { return true }
        let first = position - window + (fault == .windowLong ? 0 : fault == .windowShort ? 2 : 1)
        return s >= first
    }

    func keyHead(_ h: Int, _ fault: AttentionFault? = nil) -> Int {
        fault == .headsTiled ? h % k.shape[2] : h / (heads / k.shape[2])
    }

    func query(_ b: Int, _ t: Int, _ h: Int) -> ArraySlice<Double> {
        let width = q.shape[3]
        let first = ((b * length + t) * heads + h) * width
        return q.elements[first..<first + width]
    }

    static func row(_ tensor: Tensor<Double>, _ b: Int, _ s: Int, _ h: Int) -> ArraySlice<Double> {
        let (heads, width) = (tensor.shape[2], tensor.shape[3])
        let first = ((b * tensor.shape[1] + s) * heads + h) * width
        return tensor.elements[first..<first + width]
    }

    /// Whether the fault is about something that is there.
    func applies(_ fault: AttentionFault) -> Bool {
        switch fault {
        case .maskMissing, .maskStrict, .maskLate, .maskTopLeft: isCausal
        case .windowIgnored, .windowLong, .windowShort: window != nil
        case .sinkTokensIgnored: window != nil && sinkTokens > 0
        case .sinksIgnored: sinks != nil
        case .headsTiled: k.shape[2] > 1 && k.shape[2] < heads
        default: true
        }
    }

    /// The output with a fault; nil where the fault is about something that is not there.
    func run(_ fault: AttentionFault, _ rounding: AttentionFault.Rounding = .last) -> Tensor<Double>? {
        guard applies(fault) else { return nil }
        var o = Tensor(repeating: 0.0, shape: [q.shape[0], length, heads, valueDim])
        for b in 0..<q.shape[0] {
            for t in 0..<length {
                for h in 0..<heads {
                    let row = output(b, t, h, fault: fault, rounding: rounding)
                    let first = ((b * length + t) * heads + h) * valueDim
                    for j in row.indices { o.elements[first + j] = row[j] }
                }
            }
        }
        return o
    }

    private func product(_ x: Double, _ fault: AttentionFault) -> Double {
        switch fault {
        case .productsTF32: NumberFormat.tf32.round(x)
        case .productsBFloat16: NumberFormat.bf16.round(x)
        default: x
        }
    }

    private func score(
        _ query: ArraySlice<Double>, _ key: ArraySlice<Double>, _ fault: AttentionFault,
        _ rounding: AttentionFault.Rounding
    ) -> Double {
        var sum = 0.0
        for (a, b) in zip(query, key) { sum += product(a, fault) * product(b, fault) }
        switch fault {
        case .scaleMissing: return sum
        case .scaleTwice: return sum * scale * scale
        case .baseTwo: return sum * scale * 0.6931471805599453
        case .scoresBFloat16:
            if rounding == .every { sum = NumberFormat.bf16.round(sum) }
            return NumberFormat.bf16.round(sum * scale)
        default: return sum * scale
        }
    }

    private func output(
        _ b: Int, _ t: Int, _ h: Int, fault: AttentionFault, rounding: AttentionFault.Rounding
    ) -> [Double] {
        let shared = keyHead(h, fault)
        var scores: [Double] = []
        var seen: [Int] = []
        for s in 0..<keyCount {
            let visible = sees(t, s, fault)
            guard visible || fault == .maskedAsZero else { continue }
            seen.append(s)
            scores.append(visible ? score(query(b, t, h), Self.row(k, b, s, shared), fault, rounding) : 0)
        }
        let sink = fault == .sinksIgnored ? nil : sinks?.elements[h]
        let largest = fault == .maximumMissing ? 0 : max(scores.max() ?? -.infinity, sink ?? -.infinity)
        var out = [Double](repeating: 0, count: valueDim)
        guard !seen.isEmpty else { return out }
        let maxima = fault == .rescaleMissing || rounding == .blocks ? runningMaxima(scores, seen, sink) : []
        var weights = scores.enumerated().map { i, score in
            // Not rescaled, a weight is beside the maximum of the blocks so far, not of all.
            Double.exp(score - (fault == .rescaleMissing ? maxima[i] : largest))
        }
        if fault == .maximumMissing {
            let float = NumberFormat.f32
            weights = weights.map { $0 > float.largest ? .infinity : $0 < float.smallestSubnormal ? 0 : $0 }
        }
        // A sink comes first: at its time it is the maximum.
        let ofSink = sink.map { fault == .rescaleMissing ? 1 : Double.exp($0 - largest) }
        let sum = weights.reduce(ofSink ?? 0, +)
        if fault == .weightsBFloat16 {
            for i in weights.indices {
                // What a weight is relative to when it is rounded.
                let unit =
                    switch rounding {
                    case .last: 1.0
                    case .every: sum
                    case .blocks: Double.exp(maxima[i] - largest)
                    }
                if unit > 0 { weights[i] = unit * NumberFormat.bf16.round(weights[i] / unit) }
            }
        }
        for (weight, s) in zip(weights, seen) {
            for (j, x) in Self.row(v, b, s, shared).enumerated() { out[j] += weight * product(x, fault) }
        }
        return fault == .normMissing ? out : out.map { $0 / sum }
    }

    /// For each key that is seen, the largest score of its block and of those before.
    private func runningMaxima(_ scores: [Double], _ seen: [Int], _ sink: Double?) -> [Double] {
        var maxima = scores
        var (first, largest) = (0, sink ?? -.infinity)
        while first < seen.count {
            var end = first
            while end < seen.count, seen[end] / AttentionFault.block == seen[first] / AttentionFault.block {
                largest = max(largest, scores[end])
                end += 1
            }
            for i in first..<end { maxima[i] = largest }
            first = end
        }
        return maxima
    }
}
