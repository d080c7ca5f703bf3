//  A weight matrix in the order in which the kernels read it.
//
//      y[t, m] = sum over k of  w[m, k] x[t, k]                w [M, K], M in panels of 32 rows
//
//  The bytes are the process's own or lie in a mapped file; the layouts are those of
//  DualityKernels.h and do not depend on the instruction set.

import DualityCore
import DualityKernels

/// Bytes that do not change, and whatever keeps them alive.
struct WeightBytes: @unchecked Sendable {
    let base: UnsafeRawPointer
    let byteCount: Int
    private let owner: AnyObject

    init(_ memory: AlignedMemory, byteCount: Int, offset: Int = 0) {
        base = UnsafeRawPointer(memory.base + offset)
        self.byteCount = byteCount
        owner = memory
    }

    /// The bytes of a tensor of a mapped file, which stays mapped as long as this value lives.
    init(_ name: String, in file: SafetensorsFile) throws {
        owner = file
        byteCount = try file.info(name).byteCount
        // The mapping belongs to `file` and not to the call, so that the address outlives it.
        guard let address = try file.withBytes(of: name, { $0.baseAddress }) else {
            throw InputError(
                .shape, in: "\(file.place): \(name)", expected: "a tensor that is not empty", found: "none")
        }
        base = address
    }
}

/// A packed matrix of one of the formats.
struct PackedMatrix: Sendable {
    /// M and K.
    let rows: Int
    let columns: Int
    let format: WeightFormat
    let weights: WeightBytes
    /// For int8 one float32 a row and group; for int4 row scales and the groups' integers.
    let scales: WeightBytes?
    /// Alphabets and exceptions, for compact bfloat16.
    var compact: CompactTables? = nil
    /// What bfloat16 weights meet.
    var brainActivations = BrainActivations.float32

    /// Panels of 32 rows; products are computed by ranges of them.
    var panels: Int { Self.panels(rows) }
    var byteCount: Int { weights.byteCount + (scales?.byteCount ?? 0) + (compact?.byteCount ?? 0) }

    static func panels(_ rows: Int) -> Int { Int(dk_panels(Int64(rows))) }

    /// The bytes of the packed weights of a matrix.
    static func weightBytes(_ format: WeightFormat, rows: Int, columns: Int) -> Int {
        switch format {
        case .float32: Int(dk_f32_weight_bytes(Int64(rows), Int64(columns)))
        case .bfloat16: Int(dk_bf16_weight_bytes(Int64(rows), Int64(columns)))
        case .compactBFloat16: Int(dk_compact_unit_bytes(Int64(rows), Int64(columns)))
        case .int8(let group): Int(dk_int8_weight_bytes(Int64(rows), Int64(columns), Int64(group)))
        case .int4(let group): Int(dk_int4_code_bytes(Int64(rows), Int64(columns), Int64(group)))
        }
    }

    /// The bytes of the scales of a matrix; 0 where the format has none.
    static func scaleBytes(_ format: WeightFormat, rows: Int, columns: Int) -> Int {
        switch format {
        case .int8(let group): 4 * Int(dk_int8_scale_count(Int64(rows), Int64(columns), Int64(group)))
        case .int4(let group): Int(dk_int4_scale_bytes(Int64(rows), Int64(columns), Int64(group)))
        default: 0
        }
    }

    /// What threads pass around while they compute.
    var view: MatrixView {
        MatrixView(
            rows: rows, columns: columns, format: format, weights: weights.base, scales: scales?.base,
            compact: compact?.view, brainActivations: brainActivations)
    }

    /// What of the activations the product of this matrix reads.
    var activationForm: ActivationForm {
        switch format {
        case .float32: .float32
        case .bfloat16, .compactBFloat16:
            switch brainActivations {
            case .float32: .float32
            case .rounded: .bfloat16
            case .split: .splitBFloat16
            }
        case .int8(let group), .int4(let group): .int8(group: group)
        }
    }

    /// One row, `[K]`, as float32.
    func row(_ row: Int, _ kernels: KernelTable, into out: UnsafeMutablePointer<Float>) {
        view.row(row, kernels, into: out)
    }
}

/// The addresses of a packed matrix, without a hold on its bytes: threads that each took a hold for
/// every piece of a product would wait for each other's counting. Whoever uses it keeps the matrix.
struct MatrixView: @unchecked Sendable {
    let rows: Int
    let columns: Int
    let format: WeightFormat
    let weights: UnsafeRawPointer
    let scales: UnsafeRawPointer?
    let compact: CompactTables.View?
    let brainActivations: BrainActivations

    /// The product for the rows of `panels`.
    ///
    /// - Parameters:
    ///   - activations: T tokens in this matrix's `activationForm`.
    ///   - y: output of token 0; row t begins at `y + t * stride`.
    ///   - workspace: `DK_WORKSPACE_BYTES` of the calling thread's own.
    func multiply(
        _ kernels: KernelTable, _ activations: UnsafeRawPointer, tokens: Int, panels: Range<Int>,
        into y: UnsafeMutablePointer<Float>, stride: Int, workspace: UnsafeMutableRawPointer
    ) {
        let (first, last) = (Int64(panels.lowerBound), Int64(panels.upperBound))
        switch format {
        case .float32:
            var matrix = floatMatrix
            kernels.f32_matmul(&matrix, activations, Int64(tokens), first, last, y, Int64(stride), workspace)
        case .bfloat16:
            var matrix = brainMatrix
            let product =
                switch brainActivations {
                case .float32: kernels.bf16_matmul
                case .rounded: kernels.bf16_dot_matmul
                case .split: kernels.bf16_split_matmul
                }
            product(&matrix, activations, Int64(tokens), first, last, y, Int64(stride), workspace)
        case .compactBFloat16:
            guard var matrix = compactMatrix else { return }
            let product =
                switch brainActivations {
                case .float32: kernels.compact_matmul
                case .rounded: kernels.compact_dot_matmul
                case .split: kernels.compact_split_matmul
                }
            product(&matrix, activations, Int64(tokens), first, last, y, Int64(stride), workspace)
        case .int8(let group):
            var matrix = integerMatrix(group)
            kernels.int8_matmul(&matrix, activations, Int64(tokens), first, last, y, Int64(stride), workspace)
        case .int4(let group):
            var matrix = codedMatrix(group)
            kernels.int4_matmul(&matrix, activations, Int64(tokens), first, last, y, Int64(stride), workspace)
        }
    }

    /// One row, `[K]`, as float32.
    func row(_ row: Int, _ kernels: KernelTable, into out: UnsafeMutablePointer<Float>) {
        switch format {
        case .float32:
            var matrix = floatMatrix
            kernels.f32_row(&matrix, Int64(row), out)
        case .bfloat16:
            var matrix = brainMatrix
            kernels.bf16_row(&matrix, Int64(row), out)
        case .compactBFloat16:
            guard var matrix = compactMatrix else { return }
            kernels.compact_row(&matrix, Int64(row), out)
        case .int8(let group):
            var matrix = integerMatrix(group)
            kernels.int8_row(&matrix, Int64(row), out)
        case .int4(let group):
            var matrix = codedMatrix(group)
            kernels.int4_row(&matrix, Int64(row), out)
        }
    }

    private var floatMatrix: dk_f32_matrix {
        dk_f32_matrix(rows: Int64(rows), columns: Int64(columns), weights: weights.assumingMemoryBound(to: Float.self))
    }

    private var brainMatrix: dk_bf16_matrix {
        dk_bf16_matrix(
            rows: Int64(rows), columns: Int64(columns), weights: weights.assumingMemoryBound(to: UInt16.self))
    }

    /// Never nil for a compact matrix: whoever makes one gives it its tables.
    private var compactMatrix: dk_compact_matrix? {
        compact.map {
            dk_compact_matrix(
                rows: Int64(rows), columns: Int64(columns), units: weights.assumingMemoryBound(to: UInt32.self),
                exponents: $0.exponents, exceptions: $0.exceptions, starts: $0.starts)
        }
    }

    private func integerMatrix(_ group: Int) -> dk_int8_matrix {
        // An int8 matrix always has scales: every initializer of PackedMatrix gives it some.
        dk_int8_matrix(
            rows: Int64(rows), columns: Int64(columns), group: Int64(group),
            weights: weights.assumingMemoryBound(to: UInt8.self),
            scales: (scales ?? weights).assumingMemoryBound(to: Float.self))
    }

    private func codedMatrix(_ group: Int) -> dk_int4_matrix {
        // An int4 matrix always has scales too.
        dk_int4_matrix(
            rows: Int64(rows), columns: Int64(columns), group: Int64(group),
            codes: weights.assumingMemoryBound(to: UInt8.self),
            scales: (scales ?? weights).assumingMemoryBound(to: UInt8.self))
    }
}

/// A form that activations are packed in before a product, once for all matrices that read it.
enum ActivationForm: Hashable, Sendable {
    case float32
    case bfloat16
    case splitBFloat16
    case int8(group: Int)

    func byteCount(tokens: Int, columns: Int) -> Int {
        switch self {
        case .float32, .bfloat16, .splitBFloat16: Int(dk_f32_activation_bytes(Int64(tokens), Int64(columns)))
        case .int8(let group): Int(dk_int8_activation_bytes(Int64(tokens), Int64(columns), Int64(group)))
        }
    }

    /// Packs the tokens `rows` of `x`, whose row t begins at `x + t * stride`.
    func pack(
        _ kernels: KernelTable, _ x: UnsafePointer<Float>, stride: Int, tokens: Int, columns: Int, rows: Range<Int>,
        into packed: UnsafeMutableRawPointer
    ) {
        let (tokens, columns, stride) = (Int64(tokens), Int64(columns), Int64(stride))
        let (first, count) = (Int64(rows.lowerBound), Int64(rows.count))
        switch self {
        case .float32: kernels.f32_activations(x, stride, tokens, columns, first, count, packed)
        case .bfloat16: kernels.bf16_dot_activations(x, stride, tokens, columns, first, count, packed)
        case .splitBFloat16: kernels.bf16_split_activations(x, stride, tokens, columns, first, count, packed)
        case .int8(let group): kernels.int8_activations(x, stride, tokens, columns, Int64(group), first, count, packed)
        }
    }
}
