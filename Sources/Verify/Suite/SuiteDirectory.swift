//  A suite on the disk: NAME.safetensors for every case, and manifest.json, which says what each
//  one is.
//
//      {"schema": 1, "suite": "standard", "dtype": "f32", "cases": [
//        {"name", "file", "kind", "catches", "seed", "options": {…}, "sha256",
//         "inputs": {"x": {"dtype", "shape"}, …}, "outputs": {"y": {"shape"}, …}}, …]}

import DualityCore
import DualityNumerics
import DualityReference

/// A directory of test vectors.
public struct SuiteDirectory: Sendable {
    /// A case as the manifest lists it.
    public struct Entry: Sendable {
        /// The call that the case is, with its options as text.
        public let call: CallDescription
        /// The name of the file of operands, in this directory.
        public let file: String
        /// What the case is there to catch; empty where the manifest does not say.
        public let catches: String
        /// What the operands were drawn from; nil where the manifest does not say.
        public let seed: UInt64?
        /// The SHA-256 of the file in hexadecimal; empty where the manifest has none.
        public let hash: String
    }

    /// The directory.
    public let path: String
    /// The suite's name, such as `standard`; `?` where the manifest has none.
    public let suite: String
    /// The format of the operands, such as `bf16`; `?` where the manifest has none.
    public let dtype: String
    /// The cases, in the order of the manifest.
    public let entries: [Entry]

    /// Reads the manifest of a directory.
    ///
    /// - Throws: `InputError` when there is none, or it is no manifest.
    public init(path: String) throws {
        self.path = path
        let place = "\(path)/manifest.json"
        guard FileSystem.exists(place) else {
            throw InputError(
                .missingFile, in: place, expected: "the manifest of a suite", found: "no such file",
                remedy: "Write test vectors there with: duality vectors \(path)")
        }
        let json = try JSON(contentsOf: place)
        guard json["schema"]?.int == 1, let cases = json["cases"]?.array else {
            throw InputError(.json, in: place, expected: "\"schema\": 1 and a list of cases", found: "something else")
        }
        suite = json["suite"]?.string ?? "?"
        dtype = json["dtype"]?.string ?? "?"
        entries = try cases.enumerated().map { i, item in
            guard let name = item["name"]?.string, let kindName = item["kind"]?.string,
                let file = item["file"]?.string, !file.contains("/")
            else {
                throw InputError(
                    .json, in: "\(place): cases[\(i)]", expected: "a name, a kind and a file", found: item.kindName)
            }
            guard let kind = CaseKind(rawValue: kindName) else {
                throw InputError(
                    .unknown, in: "\(place): cases[\(i)].kind",
                    expected: CaseKind.allCases.map(\.rawValue).joined(separator: ", "),
                    found: "\"\(kindName.prefix(40))\"",
                    remedy: "A suite that a later version wrote is read by that version.")
            }
            var options: [String: String] = [:]
            for member in item["options"]?.object?.members ?? [] {
                options[member.name] = text(ofOption: member.value)
            }
            return Entry(
                call: CallDescription(name: name, kind: kind, options: options), file: file,
                catches: item["catches"]?.string ?? "", seed: item["seed"]?.string.flatMap { UInt64($0) },
                hash: item["sha256"]?.string ?? "")
        }
    }

    /// Writes a suite into a directory, which is made if it is not there.
    ///
    /// - Parameter progress: is told the name of each case.
    /// - Returns: the bytes written.
    /// - Throws: `InputError` when something cannot be written.
    @discardableResult
    public static func write(
        _ suite: VectorSuite, in format: NumberFormat, to path: String, progress: (String) -> Void = { _ in }
    ) throws -> Int {
        try write(suite.cases, called: suite.rawValue, in: format, to: path, progress: progress)
    }

    /// Writes cases into a directory, as a suite of a name.
    @discardableResult
    public static func write(
        _ cases: [VectorCase], called name: String, in format: NumberFormat, to path: String,
        progress: (String) -> Void = { _ in }
    ) throws -> Int {
        try FileSystem.makeDirectory(path)
        var total = 0
        var list: [JSON] = []
        for item in cases {
            progress(item.name)
            let table = try item.tensors(in: format)
            let place = "\(path)/\(item.name).safetensors"
            var writer = SafetensorsWriter(metadata: item.options)
            for name in table.names { try writer.add(name, from: table) }
            try writer.write(to: place)
            let file = try MappedFile(path: place)
            total += file.count
            let hash = file.withBytes { sha256($0) }
            list.append(try manifestEntry(item, table, hash: hash))
        }
        let manifest: JSON = [
            "schema": 1, "suite": .string(name), "dtype": .string(format.name), "cases": .array(list),
        ]
        try writeAtomically(to: "\(path)/manifest.json") { try $0.write(manifest.serialized(indented: true) + "\n") }
        return total
    }

    private static func manifestEntry(_ item: VectorCase, _ table: TensorTable, hash: String) throws -> JSON {
        var inputs = JSON.Object()
        for name in table.names.sorted() {
            guard let info = table.find(name) else { continue }
            inputs[name] = ["dtype": .string(info.dtype.rawValue), "shape": .array(info.shape.map { JSON($0) })]
        }
        var outputs = JSON.Object()
        for output in try Verifier().judge(item.call, table).outputs {
            outputs[output.name] = ["shape": .array(output.shape.map { JSON($0) })]
        }
        var options = JSON.Object()
        for (name, value) in item.options.sorted(by: { $0.key < $1.key }) where name != "kind" {
            options[name] = json(ofOption: value)
        }
        return [
            "name": .string(item.name), "file": .string("\(item.name).safetensors"),
            "kind": .string(item.kind.rawValue),
            "catches": .string(item.catches), "seed": .string(String(item.seed)), "options": .object(options),
            "sha256": .string(hash), "inputs": .object(inputs), "outputs": .object(outputs),
        ]
    }
}

/// An option of the string table as JSON: a number, a truth value, a list of numbers, else text.
/// Infinity is null.
private func json(ofOption text: String) -> JSON {
    if text == "true" || text == "false" { return .bool(text == "true") }
    let parts = text.split(separator: ",").map(String.init)
    let numbers = parts.compactMap { Double($0) }
    guard !parts.isEmpty, numbers.count == parts.count else { return .string(text) }
    let values = zip(parts, numbers).map { $1.isFinite ? JSON.number($0) : JSON.null }
    return values.count == 1 ? values[0] : .array(values)
}

/// The same backwards.
private func text(ofOption json: JSON) -> String {
    switch json {
    case .null: "inf"
    case .bool(let value): "\(value)"
    case .number(let digits): digits
    case .string(let text): text
    case .array(let values): values.map(text(ofOption:)).joined(separator: ",")
    case .object: ""
    }
}
