//  A kernel's arithmetic as one line of text, for command lines and files:
//
//      form=chunked:256,inputs=bf16,products=bf16,chunks=bf16,state=f32,out=bf16,softplus=naive
//
//  Read from left to right. The first item may name a preset instead (`mamba_ssm`), from which the
//  rest departs. What is not mentioned is float32 in the recurrent form, with accurate functions.
//  What is written is complete, so that it reads back the same whatever the defaults become.

import DualityCore
import DualityReference

extension KernelArithmetic: ArithmeticText {
    package static var usual: KernelArithmetic { KernelArithmetic(.f32, form: .recurrent) }
    package static var named: [(name: String, arithmetic: KernelArithmetic)] { presets }

    /// Reads `text`.
    ///
    /// - Throws: `InputError` naming the item: `.unknown` for a key or preset, `.dtype` for a
    ///   format, `.value` for the rest.
    public init(parsing text: String) throws(InputError) {
        self = try Self.read(text)
    }

    /// Arithmetics that have a name.
    public static let presets: [(name: String, arithmetic: KernelArithmetic)] = [
        ("float64", KernelArithmetic(.f64, form: .recurrent)),
        ("float32", KernelArithmetic(.f32, form: .recurrent)),
        ("mamba_ssm", .mambaChunkScan(.bf16).gatedLater),
        ("mamba_ssm_f32", .mambaChunkScan(.f32)),
        ("mamba_ssm_step", .mambaStateUpdate(.bf16)),
    ]

    /// Every key with its value, in the order of the table in KernelArithmetic.swift.
    private var items: [(key: String, value: String)] {
        let form =
            switch form {
            case .recurrent: "recurrent"
            case .chunked(let size): "chunked:\(size)"
            case .quadratic, .associative, .convolution: form.name
            }
        return [
            ("form", form), ("inputs", inputs.name), ("parameters", parameters.name), ("steps", steps.name),
            ("scaled", scaledInput?.name ?? "none"), ("products", products.name), ("chunks", chunkStates.name),
            ("state", state.name), ("skip", skippedOutput?.name ?? "none"), ("gate", gatedOutput?.name ?? "none"),
            ("out", output.name), ("accumulate", accumulate.name),
            ("sums", decaySums.rawValue), ("softplus", softplus.rawValue), ("exp", exponential.rawValue),
            ("subnormals", subnormals.rawValue),
        ]
    }

    package mutating func set(_ key: String, to value: String) throws(InputError) {
        func optional() throws(InputError) -> NumberFormat? { value == "none" ? nil : try format(key, value) }
        switch key {
        case "form": form = try Self.form(value)
        case "inputs": inputs = try format(key, value)
        case "parameters": parameters = try format(key, value)
        case "steps": steps = try format(key, value)
        case "scaled": scaledInput = try optional()
        case "skip": skippedOutput = try optional()
        case "gate": gatedOutput = try optional()
        case "products": products = try format(key, value)
        case "chunks": chunkStates = try format(key, value)
        case "state": state = try format(key, value)
        case "out": output = try format(key, value)
        case "accumulate": accumulate = try format(key, value)
        case "sums": decaySums = try choice(key, value)
        case "softplus": softplus = try choice(key, value)
        case "exp": exponential = try choice(key, value)
        case "subnormals": subnormals = try choice(key, value)
        default: throw noKey(key, among: items.map(\.key))
        }
    }

    private static func form(_ text: String) throws(InputError) -> SSDForm {
        let parts = text.split(separator: ":").map(String.init)
        switch parts.first {
        case "recurrent" where parts.count == 1: return .recurrent
        case "quadratic" where parts.count == 1: return .quadratic
        case "chunked" where parts.count == 2:
            if let size = Int(parts[1]), size >= 1 { return .chunked(size: size) }
        default: break
        }
        throw InputError(
            .value, in: "precision \"form\"", expected: "recurrent, chunked:SIZE or quadratic", found: "\"\(text)\"")
    }
}

extension KernelArithmetic: CustomStringConvertible {
    public var description: String { items.map { "\($0.key)=\($0.value)" }.joined(separator: ",") }
}

extension KernelArithmetic: Codable {
    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        do {
            try self.init(parsing: container.decode(String.self))
        } catch let error as InputError {
            throw DecodingError.dataCorruptedError(in: container, debugDescription: error.description)
        }
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}
