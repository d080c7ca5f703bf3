import DualityCore
import DualityNumerics
import DualityReference

@testable import DualityVerify

extension KalmanKernel: FamilyKernel {
    static var planted: [KalmanKernel] {
        plants.map { KalmanKernel(plant: $0) } + chunkPlants.map { KalmanKernel(chunk: 0, plant: $0) }
    }

    var right: KalmanKernel {
        var kernel = self
        kernel.plant = ""
        return kernel
    }

    /// In chunks as the call proposes them, where there are chunks.
    func outputs(_ source: TensorTable, _ options: [String: String]) throws -> [String: Tensor<Double>] {
        var kernel = self
        if chunk != nil { kernel.chunk = options["chunk_size"].flatMap { Int($0) } ?? 64 }
        return try kernel(source, options)
    }

    func applies(to item: VectorCase) -> Bool {
        guard let fault = KalmanFault(rawValue: plant), let table = try? item.tensors(in: .f32),
            let judge = try? KalmanJudge(item.call, inputs: table, precision: .inferred)
        else { return false }
        let size = item.options["chunk_size"].flatMap { Int($0) } ?? 64
        return FaultyKalman(operands: judge.operands, fault: fault, chunkSize: size).applies
    }

    static func arithmetics(_ item: VectorCase, _ inputs: TensorTable, _ format: NumberFormat) throws -> [String] {
        try KalmanJudge(item.call, inputs: inputs, precision: .inferred).choices(output: format).all.map { "\($0)" }
    }
}
