//  A kernel's arithmetic as one line of text, for command lines and files:
//
//      form=chunked:256,inputs=bf16,products=bf16,chunks=bf16,state=f32,out=bf16,softplus=naive
//
//  Read from left to right. The first item may name a preset instead (`mamba_ssm`), from which the
//  rest departs. What is not mentioned is float32 in the recurrent form, with accurate functions.
//  What is written is complete, so that it reads back the same whatever the defaults become.

import DualityCore
import DualityReference

extension KernelArithmetic {
    /// Reads `text`.
    ///
    /// - Throws: `InputError` naming the item: `.unknown` for a key or preset, `.dtype` for a
    ///   format, `.value` for the rest.
    public init(parsing text: String) throws(InputError) {
        self.init(.f32, form: .recurrent)
        for (i, item) in text.split(separator: ",", omittingEmptySubsequences: false).enumerated() {
            let parts = item.split(separator: "=", maxSplits: 1).map { String($0).trimmingSpaces() }
            if parts.count == 2 {
                try set(parts[0], to: parts[1])
            } else if i == 0, let name = parts.first, let preset = Self.presets.first(where: { $0.name == name }) {
                self = preset.arithmetic
            } else {
                throw InputError(
                    .unknown, in: "precision \"\(item)\"", expected: "KEY=VALUE" + (i == 0 ? " or a preset" : ""),
                    found: "\"\(item)\"", remedy: "Presets: \(Self.presets.map(\.name).joined(separator: ", ")).")
            }
        }
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

    private mutating func set(_ key: String, to value: String) throws(InputError) {
        func format() throws(InputError) -> NumberFormat {
            do { return try NumberFormat(named: value) } catch { throw error.within("precision \"\(key)\"") }
        }
        func choice<Choice: RawRepresentable & CaseIterable>(
            _ type: Choice.Type = Choice.self
        ) throws(InputError) -> Choice where Choice.RawValue == String {
            guard let choice = Choice(rawValue: value) else {
                throw InputError(
                    .value, in: "precision \"\(key)\"",
                    expected: "one of " + Choice.allCases.map(\.rawValue).joined(separator: ", "), found: "\"\(value)\""
                )
            }
            return choice
        }
        switch key {
        case "form": form = try Self.form(value)
        case "inputs": inputs = try format()
        case "parameters": parameters = try format()
        case "steps": steps = try format()
        case "scaled": scaledInput = value == "none" ? nil : try format()
        case "skip": skippedOutput = value == "none" ? nil : try format()
        case "gate": gatedOutput = value == "none" ? nil : try format()
        case "products": products = try format()
        case "chunks": chunkStates = try format()
        case "state": state = try format()
        case "out": output = try format()
        case "accumulate":
            accumulate = try format()
            guard accumulate.holds(.f32) && accumulate != .tf32 else {
                throw InputError(.value, in: "precision \"accumulate\"", expected: "f32 or f64", found: "\"\(value)\"")
            }
        case "sums": decaySums = try choice()
        case "softplus": softplus = try choice()
        case "exp": exponential = try choice()
        case "subnormals": subnormals = try choice()
        default:
            throw InputError(
                .unknown, in: "precision", expected: "a key among " + items.map(\.key).joined(separator: ", "),
                found: "\"\(key)\"")
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

extension String {
    fileprivate func trimmingSpaces() -> String {
        String(drop { $0 == " " }.reversed().drop { $0 == " " }.reversed())
    }
}
