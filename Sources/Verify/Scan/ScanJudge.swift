//  The scan and its single steps: what to expect of y, final_states and varlen_states, head by head
//  on all cores.
//
//  Which order a kernel adds in is often not known. Then a head is held against the chunked form,
//  and only where it exceeds that against the recurrent one too; it must be within the larger of
//  both.

import DualityCore
import DualityNumerics
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
        let isLarge = work * inputs.heads > WorkLimits.largeCall
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
