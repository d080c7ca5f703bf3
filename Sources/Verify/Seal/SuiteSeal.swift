//  A suite that is frozen: beside the operands of each case what is expected of its outputs, with
//  hashes of both, so that a lab keeps the numbers that its kernels are held to, and a later
//  version of this package proves that it still expects the same.
//
//      OUT/expected/NAME.safetensors   the outputs in float64
//      OUT/manifest.json   cases[i].expected = {"file", "sha256", "digits", "certificate"}
//                          seal = {"schema": 1, "sha256", "program"}
//
//  Where a kind is also evaluated in double-double the numbers are those, rounded once, and the
//  certificate says for each output by how much float64 differs from them at most, as a share of
//  the output's largest number. seal.sha256 is the hash of the names, hashes of operands, options
//  and hashes of expected values of all cases in order: the one number to write down. seal.program
//  is the hash of the program that sealed.

import DualityCore
import DualityNumerics
import DualityReference

/// What is expected of one case, as a seal has it.
struct SealedExpectation {
    /// The outputs by name.
    var values: [String: Tensor<Double>]
    /// For each output, the largest difference of float64 from double-double, relative to the
    /// output's largest number; nil for a kind that is evaluated in float64 alone.
    var certificate: [String: Double]?

    /// - Throws: `InputError` for operands that cannot be used.
    init(_ call: CallDescription, inputs: any TensorSource) throws {
        let judge = try Verifier(diagnoses: false).judge(call, inputs)
        if let judge = judge as? any PreciseJudge {
            let (double, rounded) = try judge.precise()
            values = rounded
            certificate = rounded.reduce(into: [:]) { result, output in
                result[output.key] = double[output.key].map { SealLimits.share($0, of: output.value) }
            }
            return
        }
        let zeros = judge.outputs.map { ($0.name, Tensor(repeating: 0.0, shape: $0.shape)) }
        let found = Dictionary(uniqueKeysWithValues: zeros)
        let expected = try judge.expect(found, formats: found.mapValues { _ in .f64 })
        values = Dictionary(uniqueKeysWithValues: expected.outputs.map { ($0.name, $0.exact) })
    }
}

/// By how much sealed numbers may differ from those of another version.
enum SealLimits {
    /// Of numbers from double-double, each rounded once: one unit in the last place, and what is
    /// lost of sums that cancel.
    static let rounded = 0x1p-52
    static let cancelled = 1e-25
    /// Of numbers from float64 alone, as a share of the output's largest: thousands of roundings
    /// of 1e-16, in whatever order.
    static let double = 1e-12

    /// The largest difference, relative to the largest number; infinite where only one is finite.
    static func share(_ found: Tensor<Double>, of sealed: Tensor<Double>) -> Double {
        let largest = largest(sealed)
        var share = 0.0
        for (a, b) in zip(found.elements, sealed.elements) where a != b && !(a.isNaN && b.isNaN) {
            let difference = (a - b).magnitude / max(largest, .leastNormalMagnitude)
            share = max(share, difference.isNaN ? .infinity : difference)
        }
        return share
    }

    /// The largest finite magnitude.
    static func largest(_ tensor: Tensor<Double>) -> Double {
        tensor.elements.reduce(0) { $1.isFinite ? max($0, $1.magnitude) : $0 }
    }

    /// Whether two numbers are the same as far as a seal goes.
    static func agree(_ a: Double, _ b: Double, largest: Double, isRounded: Bool) -> Bool {
        if a == b || a.isNaN && b.isNaN { return true }
        guard a.isFinite, b.isFinite else { return false }
        let allowed = isRounded ? rounded * b.magnitude + cancelled * largest : double * largest
        return (a - b).magnitude <= allowed
    }
}

/// The seal of a suite.
public struct SuiteSeal: Sendable {
    /// The directory of the suite.
    public let path: String
    /// The hash of the whole: names, operands, options and expected values.
    public let hash: String
    /// Cases of the suite.
    public let cases: Int
    /// Those whose numbers are from double-double.
    public let preciseCases: Int
    /// The largest difference of float64 from double-double of any output, relative to its largest
    /// number.
    public let largestDifference: Double

    /// The folder of the expected values, in the suite's.
    static let folder = "expected"
    /// Cases that are computed together, between two words of progress.
    private static let together = 16

    /// Seals a suite that is on the disk; an older seal is replaced.
    ///
    /// - Parameters:
    ///   - path: the directory of the suite.
    ///   - program: the file that computes, whose hash is kept; nil for none.
    ///   - progress: is told how many cases of how many are done.
    /// - Throws: `InputError` for a directory that is no suite, or whose operands are not those of
    ///   its manifest, and when something cannot be written.
    /// - Complexity: some fifteen times the recurrent form of the scans, a hundred times that of
    ///   gradients and of the delta rule.
    public init(
        sealing path: String, program: String? = nil, progress: (_ done: Int, _ of: Int) -> Void = { _, _ in }
    ) throws {
        self.path = path
        let suite = try SuiteDirectory(path: path)
        guard !suite.entries.isEmpty else {
            throw InputError(.missing, in: "\(path)/manifest.json", expected: "at least one case", found: "none")
        }
        try FileSystem.makeDirectory("\(path)/\(Self.folder)")
        var entries: [JSON] = []
        var (precise, largest) = (0, 0.0)
        for result in Self.each(suite.entries, progress, { i in try Self.seal(suite.entries[i], of: path) }) {
            let (entry, certificate) = try result.get()
            entries.append(entry)
            if let certificate {
                precise += 1
                largest = max(largest, certificate.values.max() ?? 0)
            }
        }
        (cases, preciseCases, largestDifference) = (entries.count, precise, largest)
        let place = "\(path)/manifest.json"
        guard var manifest = try JSON(contentsOf: place).object else {
            throw InputError(.json, in: place, expected: "an object", found: "something else")
        }
        var listed = manifest["cases"]?.array ?? []
        for (i, entry) in entries.enumerated() {
            guard var item = listed[i].object else { continue }
            item["expected"] = entry
            listed[i] = .object(item)
        }
        manifest["cases"] = .array(listed)
        hash = Self.hash(of: listed)
        let code = try program.map { try MappedFile(path: $0).withBytes { sha256($0) } }
        manifest["seal"] = ["schema": 1, "sha256": .string(hash), "program": code.map { .string($0) } ?? .null]
        let text = JSON.object(manifest).serialized(indented: true) + "\n"
        try writeAtomically(to: place) { try $0.write(text) }
    }

    /// `body` of every case, a few at a time on all cores.
    static func each<Value: Sendable>(
        _ entries: [SuiteDirectory.Entry], _ progress: (_ done: Int, _ of: Int) -> Void,
        _ body: @Sendable (Int) throws -> Value
    ) -> [Result<Value, any Error>] {
        var results: [Result<Value, any Error>] = []
        while results.count < entries.count {
            let first = results.count
            progress(first, entries.count)
            results += parallelMap(min(together, entries.count - first)) { i in Result { try body(first + i) } }
        }
        return results
    }

    private static func seal(
        _ entry: SuiteDirectory.Entry, of path: String
    ) throws -> (entry: JSON, certificate: [String: Double]?) {
        let place = "\(path)/\(entry.file)"
        try entry.requireHash(of: place)
        let expectation = try SealedExpectation(entry.call, inputs: SafetensorsFile(path: place))
        let file = "\(folder)/\(entry.stem).safetensors"
        var writer = SafetensorsWriter(metadata: ["kind": entry.call.kind.rawValue])
        for (name, tensor) in expectation.values.sorted(by: { $0.key < $1.key }) { try writer.add(name, tensor) }
        try writer.write(to: "\(path)/\(file)")
        let hash = try MappedFile(path: "\(path)/\(file)").withBytes { sha256($0) }
        var certificate = JSON.Object()
        for (name, share) in (expectation.certificate ?? [:]).sorted(by: { $0.key < $1.key }) {
            certificate[name] = JSON(share)
        }
        let isPrecise = expectation.certificate != nil
        return (
            [
                "file": .string(file), "sha256": .string(hash),
                "digits": .string(isPrecise ? "double-double" : "float64"),
                "certificate": isPrecise ? .object(certificate) : .null,
            ], expectation.certificate
        )
    }

    /// The hash of what a seal says of its cases, in order.
    static func hash(of cases: [JSON]) -> String {
        let lines = cases.map { item in
            let parts = [
                item["name"]?.string, item["kind"]?.string, item["sha256"]?.string,
                item["options"]?.serialized(), item["expected"]?["sha256"]?.string,
            ]
            return parts.map { $0 ?? "" }.joined(separator: " ")
        }
        let text = lines.joined(separator: "\n")
        return Array(text.utf8).withUnsafeBytes { sha256($0) }
    }
}
