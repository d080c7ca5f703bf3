//  The scan and its single steps: what to expect of y, final_states and varlen_states, head by head
//  on all cores.
//
//  Which order a kernel adds in is often not known. Then a head is held against the chunked form,
//  and only where it exceeds that against the recurrent one too; it must be within the larger of
//  both.

import DualityCore
import DualityReference

struct ScanJudge: KindJudge {
    let call: CallDescription
    let inputs: SSDInputs<Double>
    /// seq_idx as in the file.
    let ids: Tensor<Int>?
    let inputFormat: NumberFormat
    let precision: DeclaredPrecision

    init(_ call: CallDescription, inputs source: any TensorSource, precision: DeclaredPrecision) throws {
        var mapped = MappedSource(source)
        ids = try mapped.renumberSequences()
        inputs = try SSDInputs(
            readingFrom: mapped, dtSoftplus: call.flag("dt_softplus", default: true), dtLimit: call.limits())
        inputFormat = try mapped.info("x").dtype.numberFormat
        self.call = call
        self.precision = precision
        suggestedChunk = try call.count("chunk_size")
    }

    private let suggestedChunk: Int?
    var chunkSize: Int? { suggestedChunk ?? (call.kind == .step ? 1 : nil) }

    var outputs: [OutputShape] {
        let state = [inputs.heads, inputs.headDim, inputs.stateDim]
        var shapes = [
            OutputShape(
                name: "y", shape: [inputs.batch, inputs.length, inputs.heads, inputs.headDim],
                axes: [.batch, .token, .head, .channel]),
            OutputShape(
                name: "final_states", shape: [inputs.batch] + state, axes: [.batch, .head, .channel, .state]),
        ]
        if let packing = inputs.packing {
            shapes.append(
                OutputShape(
                    name: "varlen_states", shape: [packing.count] + state, axes: [.sequence, .head, .channel, .state]))
        }
        return shapes
    }

    /// The arithmetics a kernel may have.
    func arithmetics(_ formats: [String: NumberFormat]) -> [KernelArithmetic] {
        var arithmetics = precision.arithmetics(
            inputs: inputFormat, output: formats["y"] ?? formats["final_states"], chunkSize: suggestedChunk)
        if call.kind == .step {
            arithmetics = Array(arithmetics.prefix(1))
            arithmetics[0].form = .recurrent
        }
        return arithmetics
    }

    func expect(_ found: [String: Tensor<Double>], formats: [String: NumberFormat]) throws -> Expectations {
        var arithmetics = arithmetics(formats)
        let heads = try (0..<inputs.heads).map { try inputs.head($0) }
        let work = inputs.batch * inputs.length * inputs.headDim * inputs.stateDim
        let isLarge = work * inputs.heads > 200_000_000
        if isLarge {
            // One of each sort; first that with small chunks, which takes a third of the time of
            // large ones.
            let quick = arithmetics.filter { $0.form == .chunked(size: 64) }.prefix(1)
            arithmetics = quick + oneOfEachSort(arithmetics).filter { !quick.contains($0) }
        }
        let names = outputs.map(\.name).filter { found[$0] != nil }
        let candidates = arithmetics
        let results = parallelMap(heads.count) { h in
            Result {
                try HeadExpectation(heads[h], candidates, found: found, head: h, names: names, lazyBound: isLarge)
            }
        }
        let columns = try results.map { try $0.get() }
        let shapes = Dictionary(uniqueKeysWithValues: outputs.map { ($0.name, $0) })
        let expectations = names.compactMap { name -> Expectation? in
            guard let output = shapes[name] else { return nil }
            let axis = output.axes.firstIndex(of: .head) ?? 2
            func joined(_ part: (HeadExpectation) -> [String: Tensor<Double>]) -> Tensor<Double> {
                var whole = Tensor(repeating: 0.0, shape: output.shape)
                for (h, column) in columns.enumerated() {
                    if let tensor = part(column)[name] { whole.setHead(h, axis: axis, to: tensor) }
                }
                return whole
            }
            return Expectation(
                name: name, axes: output.axes, exact: joined(\.exact), bound: joined(\.bound), sigma: joined(\.sigma),
                magnitudes: joined(\.magnitudes), format: name == "y" ? arithmetics[0].output : arithmetics[0].state)
        }
        let skipped = columns.count { $0.boundIsMissing }
        let steps = inputs.effectiveSteps()
        let decays = (0..<inputs.heads).map { h in
            let sum = stride(from: h, to: steps.count, by: inputs.heads).reduce(0.0) { $0 + steps.elements[$1] }
            return -inputs.a.elements[h] * sum / Double(max(steps.count / inputs.heads, 1))
        }
        return Expectations(
            outputs: expectations, precision: precision.description(of: arithmetics),
            remarks: skipped == 0
                ? []
                : [
                    "the bound was evaluated in \(columns.count - skipped) of \(columns.count) heads, those in which error / sigma leaves the verdict open"
                ],
            decays: decays)
    }
}

/// The likeliest arithmetic, the recurrent one, and the likeliest that stores dt x, of those that
/// there are.
private func oneOfEachSort(_ arithmetics: [KernelArithmetic]) -> [KernelArithmetic] {
    let recurrent = arithmetics.dropFirst().first { $0.form == .recurrent }
    let scaled = arithmetics.first { $0.scaledInput != arithmetics[0].scaledInput }
    return arithmetics.prefix(1) + [recurrent, scaled].compactMap { $0 }
}

/// One head's part of the expectations.
private struct HeadExpectation: Sendable {
    var exact: [String: Tensor<Double>] = [:]
    var sigma: [String: Tensor<Double>] = [:]
    var bound: [String: Tensor<Double>] = [:]
    var magnitudes: [String: Tensor<Double>] = [:]
    var boundIsMissing = false

    /// - Parameter lazyBound: whether the bound is left out (NaN) where error / sigma is below its
    ///   limit, and other arithmetics where the first one passes.
    init(
        _ inputs: SSDInputs<Double>, _ arithmetics: [KernelArithmetic], found: [String: Tensor<Double>], head: Int,
        names: [String], lazyBound: Bool
    ) throws {
        let outputs = ScanResult(try SSDForm.recurrent.evaluate(inputs))
        let sums = try inputs.magnitudes()
        for name in names {
            exact[name] = outputs[name]
            magnitudes[name] = sums[name]
        }
        func parts(_ sizes: SSDErrorSizes) -> [String: Tensor<Double>] {
            Dictionary(uniqueKeysWithValues: names.compactMap { name in sizes[name].map { (name, $0) } })
        }
        let own = Dictionary(
            uniqueKeysWithValues: names.compactMap { name in
                found[name].map { (name, $0.head(head, axis: name == "y" ? 2 : 1)) }
            })
        sigma = parts(try arithmetics[0].roundingSigma(for: inputs))
        // What is far outside is wrong in any order; where it begins, and what is left of it beside
        // a fault, is told by sigmas that allow for the orders there are. (An error that is nothing
        // beside the operands may be an underflow of decays that are multiplied before they meet a
        // state, which depends on the order.)
        let largest = [inputs.initialState?.elements, inputs.x.elements].compactMap { $0?.map(\.magnitude).max() }.max()
        let isHopeless = exceeds(own, share: 100, and: 0x1p-100 * (largest ?? 0))
        let arithmetics = isHopeless ? oneOfEachSort(arithmetics) : arithmetics
        let share = lazyBound ? 0.9 : 0.5
        var isOutside = exceeds(own, share: share)
        for other in arithmetics.dropFirst() where isOutside {
            sigma.merge(parts(try other.roundingSigma(for: inputs))) { larger($0, $1) }
            isOutside = isHopeless || exceeds(own, share: share)
        }
        if isOutside && !isHopeless && arithmetics.count > 2, let y = sigma["y"], let sums = magnitudes["y"] {
            // Sizes that hold wherever chunks begin are for kernels that they make right. A wrong
            // one is not forgiven a part.
            let strict = sigma
            sigma["y"] = y.spread(over: 256, magnitudes: sums)
            if exceeds(own, share: 1) { sigma = strict }
        }
        if lazyBound && (isHopeless || !exceeds(own, share: 0.75)) {
            boundIsMissing = true
            bound = sigma.mapValues { $0.map { _ in Double.nan } }
            return
        }
        bound = parts(try arithmetics[0].errorBound(for: inputs))
        for other in arithmetics.dropFirst() where isOutside || leavesBound(own) {
            bound.merge(parts(try other.errorBound(for: inputs))) { larger($0, $1) }
        }
    }

    /// Whether some error is above its bound.
    private func leavesBound(_ found: [String: Tensor<Double>]) -> Bool {
        found.contains { name, tensor in
            guard let exact = exact[name], let bound = bound[name], tensor.count == exact.count else { return false }
            return tensor.elements.indices.contains { i in
                !((tensor.elements[i] - exact.elements[i]).magnitude <= bound.elements[i])
            }
        }
    }

    /// Whether some error is above a share of the sigma limit, and above `least`.
    private func exceeds(_ found: [String: Tensor<Double>], share: Double = 0.5, and least: Double = 0) -> Bool {
        for (name, tensor) in found {
            guard let exact = exact[name], let sigma = sigma[name], tensor.count == exact.count else { continue }
            for i in tensor.elements.indices {
                let error = (tensor.elements[i] - exact.elements[i]).magnitude
                if !(error <= max(share * Limits.sigma * sigma.elements[i], least)) { return true }
            }
        }
        return false
    }
}

private func larger(_ a: Tensor<Double>, _ b: Tensor<Double>) -> Tensor<Double> {
    var result = a
    for i in result.elements.indices { result.elements[i] = max(a.elements[i], b.elements[i]) }
    return result
}

extension Tensor<Double> {
    /// Sizes of error of y, `[B, L, 1, P]`, that hold wherever chunks begin: relative to the
    /// magnitudes, the largest of the tokens around. The sizes themselves grow from the start of a
    /// chunk to its end.
    fileprivate func spread(over window: Int, magnitudes: Tensor) -> Tensor {
        let (length, width) = (shape[1], shape[3])
        var result = self
        for row in 0..<shape[0] {
            let ratios = (0..<length).map { t in
                let first = (row * length + t) * width
                let squares = (first..<first + width).reduce(0.0) { sum, i in
                    let ratio = magnitudes.elements[i] > 0 ? elements[i] / magnitudes.elements[i] : 0
                    return sum + (ratio.isFinite ? ratio * ratio : 0)
                }
                return (squares / Double(Swift.max(width, 1))).squareRoot()
            }
            for t in 0..<length {
                let around = ratios[Swift.max(t - window, 0)...Swift.min(t + window, length - 1)].max() ?? 0
                for i in (row * length + t) * width..<(row * length + t + 1) * width {
                    result.elements[i] = Swift.max(elements[i], around * magnitudes.elements[i])
                }
            }
        }
        return result
    }
}

extension SSDErrorSizes {
    /// Sizes of an output by its name in files.
    subscript(name: String) -> Tensor<Double>? {
        switch name {
        case "y": y
        case "final_states": finalState
        case "varlen_states": sequenceStates
        default: nil
        }
    }
}

extension SSDInputs<Double> {
    /// The call of one head alone.
    func head(_ h: Int) throws(InputError) -> SSDInputs<Double> {
        try SSDInputs(
            x: x.head(headMap.x[h]), dt: dt.head(h), a: Tensor([a.elements[h]]), b: b.head(headMap.b[h]),
            c: c.head(headMap.c[h]), d: d.map { $0.head(h, axis: 0) }, z: z.map { $0.head(h) },
            dtBias: dtBias.map { Tensor([$0.elements[h]]) }, initialState: initialState.map { $0.head(h, axis: 1) },
            packing: packing, dtSoftplus: dtSoftplus, dtLimit: dtLimit)
    }
}

extension DType {
    /// The format of arithmetic that stored numbers have; float32 for those that are no format of
    /// ours.
    var numberFormat: NumberFormat {
        switch self {
        case .f64: .f64
        case .bf16: .bf16
        case .f16: .f16
        case .f8e4m3: .e4m3
        case .f8e5m2: .e5m2
        default: .f32
        }
    }
}
