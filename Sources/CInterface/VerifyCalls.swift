//  duality_verify() and duality_vectors(): a kernel's outputs in, a report out, and the test
//  vectors to run it on.

import CDualitySSD
import DualityCore
import DualityNumerics
import DualityReference
import DualityVerify

/// Judges the outputs of some calls of a kernel, in one report.
///
/// What is wrong with a case is a problem in the report; what is wrong with the options is an
/// error.
func judge(
    _ cases: UnsafePointer<duality_case>?, count: Int64, options text: UnsafePointer<CChar>?
) throws -> CallResult {
    let options = try Options(text, known: ["precision", "candidate", "reference", "diagnose", "verbose"])
    let precision = try options.fields.string("precision").map { text throws(InputError) in
        try DeclaredPrecision(parsing: text)
    }
    let verifier = Verifier(
        precision: precision ?? .inferred, diagnoses: try options.fields.bool("diagnose") ?? true)
    guard count >= 0, count <= 1 << 20, cases != nil || count == 0 else {
        throw InputError(
            .value, in: "cases", expected: "the address of some cases", found: cases == nil ? "NULL" : "\(count) cases")
    }
    var calls: [JudgedCall] = []
    for (number, item) in UnsafeBufferPointer(start: cases, count: Int(count)).enumerated() {
        try add(item, number: number, to: &calls)
    }
    let report = verifier.verify(
        calls, candidate: try options.fields.string("candidate") ?? "kernel",
        reference: try options.fields.string("reference") ?? "float64 reference")
    let result = CallResult()
    result.setText("json", report.json.serialized())
    result.setText("verdict", report.verdict.rawValue)
    result.setText("headline", report.headline)
    result.setText("short", report.short)
    result.setText("text", report.text(verbose: try options.fields.bool("verbose") ?? false))
    result.setText("markdown", report.markdown)
    result.setText("html", report.html)
    return result
}

/// Adds a case to the calls; with the option `repeat_of` its outputs are another run of the case of
/// that name.
private func add(_ item: duality_case, number: Int, to calls: inout [JudgedCall]) throws {
    let name = item.name.map { String(cString: $0) } ?? "case \(number)"
    var described: [String: String] = [:]
    if let text = item.options {
        let fields = try JSONFields(JSON(parsing: String(cString: text), place: "\(name): options"), place: name)
        for member in fields.object.members where member.value != .null {
            described[member.name] = try plain(member.value, in: fields.place(of: member.name))
        }
    }
    if let first = described.removeValue(forKey: "repeat_of") {
        guard let i = calls.lastIndex(where: { $0.call.name == first }) else {
            throw InputError(
                .unknown, in: "\(name): repeat_of", expected: "the name of an earlier case", found: "\"\(first)\"")
        }
        calls[i].repeats.append(
            try ArgumentTensors(item.outputs, count: item.output_count, place: "\(name): outputs"))
        return
    }
    let catches = described.removeValue(forKey: "catches") ?? ""
    let description = try CallDescription(name: name, metadata: described)
    try description.requireKnown(described.keys, in: "\(name): options")
    let isRun = item.outputs != nil || item.output_count != 0
    let inputs = try ArgumentTensors(item.inputs, count: item.input_count, place: "\(name): inputs")
    try description.requireNoMisspeltOperand(inputs.names, in: "\(name): inputs")
    calls.append(
        JudgedCall(
            call: description, inputs: inputs,
            outputs: isRun
                ? try ArgumentTensors(item.outputs, count: item.output_count, place: "\(name): outputs") : nil,
            catches: catches))
}

/// An option's value as the string table of a file has it: a list is joined by commas.
private func plain(_ value: JSON, in place: String) throws(InputError) -> String {
    switch value {
    case .bool(let flag): return flag ? "true" : "false"
    case .number(let literal): return literal
    case .string(let text): return text
    case .array(let items):
        var parts: [String] = []
        for item in items { parts.append(try plain(item, in: place)) }
        return parts.joined(separator: ",")
    case .object, .null:
        throw InputError(.json, in: place, expected: "a string, a number, true, false or a list", found: value.kindName)
    }
}

/// The suite that is asked for by its name, or by the sizes of a shape.
private func suite(_ options: Options) throws -> (name: String, cases: [VectorCase]) {
    guard let sizes = options.fields["shape"] else {
        let name = try options.word("suite", of: VectorSuite.allCases.map(\.rawValue))
        return (name, VectorSuite(rawValue: name)?.cases ?? [])
    }
    guard options.fields["suite"] == nil else {
        throw InputError(.value, in: "options: suite", expected: "no suite beside a shape", found: "both")
    }
    guard let object = sizes.object else {
        throw InputError(.json, in: "options: shape", expected: "an object of sizes", found: sizes.kindName)
    }
    var shape = SuiteShape()
    for member in object.members {
        guard let size = member.value.int else {
            throw InputError(
                .value, in: "options: shape: \(member.name)", expected: "a whole number",
                found: member.value.serialized())
        }
        try shape.set(member.name, to: size)
    }
    return (shape.name, try shape.cases())
}

/// The cases of a suite, and the operands of those that are asked for.
func vectors(options text: UnsafePointer<CChar>?) throws -> CallResult {
    let options = try Options(text, known: ["suite", "dtype", "cases", "shape"])
    let format = try NumberFormat(named: try options.word("dtype", of: ["f32", "bf16", "f16"]))
    let (suite, cases) = try suite(options)
    let wanted = try options.fields.strings("cases") ?? []
    if let other = wanted.first(where: { name in !cases.contains { $0.name == name } }) {
        throw InputError(
            .unknown, in: "options: cases", expected: "cases of the suite \(suite)", found: "\"\(other)\"")
    }
    let result = CallResult()
    for item in cases where wanted.contains(item.name) {
        let table = try item.tensors(in: format)
        for name in table.names {
            let info = try table.info(name)
            try table.withBytes(of: name) { bytes in
                result.add("\(item.name)/\(name)", dtype: info.dtype.rawValue, shape: info.shape, bytes: bytes)
            }
        }
    }
    let list = cases.map { item -> JSON in
        var described = JSON.Object()
        for (key, value) in item.options.sorted(by: { $0.key < $1.key }) { described[key] = .string(value) }
        return [
            "name": .string(item.name), "kind": .string(item.kind.rawValue), "catches": .string(item.catches),
            "options": .object(described),
        ]
    }
    let faults = FaultCatalog.all.map { fault -> JSON in
        ["name": .string(fault.name), "summary": .string(fault.summary), "kinds": .string(fault.kinds)]
    }
    let json: JSON = [
        "suite": .string(suite), "dtype": .string(format.name), "cases": .array(list), "faults": .array(faults),
        "kinds": .array(CaseKind.allCases.map { .string($0.rawValue) }),
    ]
    result.setText("json", json.serialized())
    return result
}
