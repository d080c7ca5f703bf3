import DualityCore
import DualityNumerics
import DualityReference

@testable import DualityVerify

/// A kernel of a backward pass: which of its outputs are narrow where operands are.
protocol BackwardKernel: FamilyKernel {
    var mistake: String { get set }
}

extension BackwardKernel {
    var right: Self {
        var kernel = self
        kernel.mistake = ""
        return kernel
    }

    static func stored(_ output: String, _ format: NumberFormat) -> NumberFormat {
        ["grad_g", "grad_initial_state", "grad_sinks"].contains(output) ? .f32 : format
    }
}

extension DeltaBackwardKernel: BackwardKernel {
    static var planted: [DeltaBackwardKernel] {
        plants.map { DeltaBackwardKernel(mistake: $0) } + chunkPlants.map { DeltaBackwardKernel(chunk: 0, mistake: $0) }
    }

    /// What is no fault where operands are bfloat16.
    static let usualInBFloat16: Set = ["states-in-bf16", "products-in-bf16"]

    /// In chunks as the call proposes them, where there are chunks.
    func outputs(_ source: TensorTable, _ options: [String: String]) throws -> [String: Tensor<Double>] {
        var kernel = self
        if chunk == 0 { kernel.chunk = options["chunk_size"].flatMap { Int($0) } ?? 64 }
        return try kernel(source, options)
    }

    func applies(to item: VectorCase) -> Bool {
        // Of states that are not square a transposed one is another tensor.
        guard mistake.contains("transposed"), let shape = try? item.tensors(in: .f32).info("q").shape,
            let values = try? item.tensors(in: .f32).info("v").shape
        else { return true }
        return shape.last == values.last
    }

    static func arithmetics(_ item: VectorCase, _ inputs: TensorTable, _ format: NumberFormat) throws -> [String] {
        let judge = try DeltaGradientJudge(item.call, inputs: inputs, precision: .inferred)
        return judge.choices(output: format).all.map { "\($0)" }
    }
}

extension AttentionBackwardKernel: BackwardKernel {
    static var planted: [AttentionBackwardKernel] {
        plants.map { AttentionBackwardKernel(mistake: $0) }
            + blockPlants.map { AttentionBackwardKernel(block: 64, mistake: $0) }
    }

    static let usualInBFloat16: Set = ["weights-in-bf16"]

    func outputs(_ source: TensorTable, _ options: [String: String]) throws -> [String: Tensor<Double>] {
        try self(source, options)
    }

    func applies(to item: VectorCase) -> Bool {
        guard mistake == "dk-and-dv-swapped", let table = try? item.tensors(in: .f32) else { return true }
        return (try? table.info("k").shape) == (try? table.info("v").shape)
    }

    static func arithmetics(_ item: VectorCase, _ inputs: TensorTable, _ format: NumberFormat) throws -> [String] {
        let judge = try AttentionGradientJudge(item.call, inputs: inputs, precision: .inferred)
        return judge.choices(output: format).all.map { "\($0)" }
    }
}
