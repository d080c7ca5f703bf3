//  What an error looks like that no known fault explains: where it is, how large, whether it leans
//  to one side, and what it goes along with. A person who knows the kernel can often tell the rest.

import DualityCore
import DualityReference

enum ErrorStructure {
    /// Sentences about the errors that are beyond the sigma limit.
    static func sentences(
        _ found: [String: Tensor<Double>], _ expectations: [Expectation], chunkSize: Int?, decays: [Double]
    ) -> [String] {
        var sentences: [String] = []
        for expected in expectations {
            guard let tensor = found[expected.name] else { continue }
            var outside: [Int] = []
            for i in tensor.elements.indices {
                let error = (tensor.elements[i] - expected.exact.elements[i]).magnitude
                if !(error <= Limits.sigma * expected.sigma.elements[i]) { outside.append(i) }
            }
            guard !outside.isEmpty else { continue }
            let share = Double(outside.count) / Double(tensor.count)
            var parts = [
                "\(expected.name): \(outside.count) of \(tensor.count) numbers (\(figure(100 * share)) %) are wrong"
            ]
            for (axis, word) in [
                (Axis.batch, "row"), (.sequence, "sequence"), (.head, "head"), (.channel, "channel"),
                (.state, "state index"),
            ] {
                if let sentence = confinement(outside, expected, axis, word) { parts.append(sentence) }
            }
            if let sentence = tokens(outside, expected, chunkSize) { parts.append(sentence) }
            parts.append(size(outside, tensor, expected))
            if let sentence = correlation(tensor, expected, decays) { parts.append(sentence) }
            sentences.append(parts.joined(separator: "; "))
        }
        return sentences
    }

    /// `only in heads 2, 5-7`, where some of an axis are untouched.
    private static func confinement(_ outside: [Int], _ expected: Expectation, _ axis: Axis, _ word: String) -> String?
    {
        guard let reader = expected.reader(axis), reader.length > 1 else { return nil }
        let touched = Set(outside.map { reader($0) }).sorted()
        guard touched.count < reader.length else { return nil }
        let list =
            touched.count > DiagnosisLimits.listedIndices
            ? "\(touched.count) of \(reader.length) \(word)s"
            : "\(word)\(touched.count == 1 ? "" : "s") \(ranges(touched))"
        return "only in \(list)"
    }

    /// Where along the tokens: a range, and positions of the chunk.
    private static func tokens(_ outside: [Int], _ expected: Expectation, _ chunkSize: Int?) -> String? {
        guard let reader = expected.reader(.token), reader.length > 1 else { return nil }
        let tokens = Set(outside.map { reader($0) }).sorted()
        guard let first = tokens.first, let last = tokens.last else { return nil }
        var words = "tokens \(first) to \(last)"
        if tokens.count == last - first + 1 {
            if first == last { words = "token \(first) alone" }
        } else {
            words += ", \(tokens.count) of them"
        }
        if let chunkSize, chunkSize > 1, reader.length > chunkSize {
            let positions = Set(tokens.map { $0 % chunkSize }).sorted()
            if positions.count <= chunkSize / 2 { words += ", at positions \(ranges(positions)) of their chunks" }
            let chunks = Set(tokens.map { $0 / chunkSize }).sorted()
            words += ", in chunk\(chunks.count == 1 ? "" : "s") \(ranges(chunks))"
        }
        return words
    }

    /// How large, and to which side.
    private static func size(_ outside: [Int], _ tensor: Tensor<Double>, _ expected: Expectation) -> String {
        var (sum, magnitudes, exact, dot, bad) = (0.0, 0.0, 0.0, 0.0, 0)
        for i in outside {
            let error = tensor.elements[i] - expected.exact.elements[i]
            guard error.isFinite else {
                bad += 1
                continue
            }
            sum += error
            magnitudes += error.magnitude
            exact += expected.exact.elements[i] * expected.exact.elements[i]
            dot += tensor.elements[i] * expected.exact.elements[i]
        }
        if bad == outside.count { return "all NaN or infinite" }
        let n = Double(max(outside.count - bad, 1))
        var words = "mean error \(figure(magnitudes / n))"
        if exact > 0 {
            words += ", \(figure(magnitudes / n / (exact / n).squareRoot())) of the right numbers"
            let scale = dot / exact
            if (scale - 1).magnitude > DiagnosisLimits.scale { words += ", whose \(figure(scale))-fold is found" }
        }
        if magnitudes > 0, (sum / magnitudes).magnitude > DiagnosisLimits.leaning {
            words += ", mostly too \(sum > 0 ? "large" : "small")"
        }
        if bad > 0 { words += ", \(bad) NaN or infinite" }
        return words
    }

    /// Whether heads that forget more err more, by the rank correlation.
    private static func correlation(_ tensor: Tensor<Double>, _ expected: Expectation, _ decays: [Double]) -> String? {
        guard let reader = expected.reader(.head), reader.length == decays.count, decays.count >= 4 else { return nil }
        var sums = [Double](repeating: 0, count: decays.count)
        for i in tensor.elements.indices {
            sums[reader(i)] += FaultEvidence.square(
                tensor.elements[i] - expected.exact.elements[i], expected.sigma.elements[i])
        }
        func ranks(_ values: [Double]) -> [Double] {
            var ranks = values
            for (rank, i) in values.indices.sorted(by: { values[$0] < values[$1] }).enumerated() {
                ranks[i] = Double(rank)
            }
            return ranks
        }
        let (a, b) = (ranks(decays), ranks(sums))
        let mean = Double(a.count - 1) / 2
        let covariance = zip(a, b).reduce(0) { $0 + ($1.0 - mean) * ($1.1 - mean) }
        let variance = a.reduce(0) { $0 + ($1 - mean) * ($1 - mean) }
        let correlation = covariance / variance
        guard correlation.magnitude > DiagnosisLimits.correlation else { return nil }
        return correlation > 0 ? "larger in heads that forget faster" : "larger in heads that remember longer"
    }
}
