//  Arithmetics that are a number format by key and the way exponentials are taken, and read and
//  written alike: `form=chunked:64,products=bf16,…,exp=fast`.

import DualityCore
import DualityReference

/// An arithmetic of formats by key.
package protocol FormatTable: ArithmeticText, CustomStringConvertible, Sendable {
    /// The keys in the order in which they are written, and where their formats stand.
    static var formats: [(key: String, path: WritableKeyPath<Self, NumberFormat> & Sendable)] { get }
    /// Kernels that have a name.
    static var presets: [(name: String, arithmetic: Self, summary: String)] { get }
    /// One format throughout, where nothing else is said.
    static func plain(_ format: NumberFormat) -> Self

    /// The order of the sums; nil for kernels that have one order alone.
    var order: RecurrenceForm? { get set }
    var exponential: KernelArithmetic.Exponential { get set }
    var accumulate: NumberFormat { get }
    var output: NumberFormat { get }
}

extension FormatTable {
    package static var usual: Self { plain(.f32) }
    package static var named: [(name: String, arithmetic: Self)] {
        [("float32", plain(.f32)), ("float64", plain(.f64))] + presets.map { ($0.name, $0.arithmetic) }
    }

    package var order: RecurrenceForm? {
        get { nil }
        set {}
    }

    package var description: String {
        let form = order.map { "form=" + ($0.chunkSize.map { "chunked:\($0)" } ?? "recurrent") + "," } ?? ""
        return form + Self.formats.map { "\($0)=\(self[keyPath: $1])" }.joined(separator: ",")
            + ",exp=\(exponential.rawValue)"
    }

    package mutating func set(_ key: String, to value: String) throws(InputError) {
        if let path = Self.formats.first(where: { $0.key == key })?.path {
            self[keyPath: path] = try format(key, value)
        } else if key == "form", order != nil {
            order = try recurrenceForm(value)
        } else if key == "exp" {
            exponential = try choice(key, value)
        } else {
            throw noKey(key, among: (order == nil ? [] : ["form"]) + Self.formats.map(\.key) + ["exp"])
        }
    }
}
