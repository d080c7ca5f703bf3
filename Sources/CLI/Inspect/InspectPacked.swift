//  What `duality inspect` says of a packed model beside what it says of every model: formats,
//  parts, sizes, origin.

import DualityCore
import DualityMeasure
import DualityQuant
import Foundation

struct InspectPacked {
    let checkpoint: PackedCheckpoint
    /// Float32 tensors that hold a NaN or an infinity, and the first element that is one.
    private let nonFinite: [(tensor: String, element: Int)]
    /// quantization.json; nil where there is none.
    private let report: JSON?

    /// - Throws: `InputError` for a file that is damaged, of another layout, or not that of the
    ///   configuration.
    init(directory: String, readsWeights: Bool) throws {
        checkpoint = try PackedCheckpoint(directory: directory)
        if readsWeights { try checkpoint.checkTables() }
        nonFinite = readsWeights ? try checkpoint.nonFinite() : []
        let path = (directory as NSString).appendingPathComponent("quantization.json")
        report = FileManager.default.fileExists(atPath: path) ? try JSON(contentsOf: path) : nil
    }

    /// Bytes as they are stored, for `ModelInventory`.
    func byteCount(_ requirement: WeightContract.Requirement) -> Int? { checkpoint.byteCount(of: requirement.name) }

    /// Sentences that say why it cannot be used.
    var violations: [(tensor: String, message: String)] {
        nonFinite.map { ($0.tensor, "\($0.tensor): element \($0.element) is not a finite number") }
    }

    // MARK: - Text

    var lines: [String] {
        var table = TextTable([.left, .left, .right, .right, .right, .right])
        table.add("part", "format", "tensors", "parameters", "bytes", "of them scales")
        let parts = checkpoint.contents
        for part in parts {
            table.add(
                part.name, part.format, part.tensors.grouped, part.parameters.grouped,
                (part.weightBytes + part.scaleBytes).grouped, part.scaleBytes.grouped)
        }
        table.addRule()
        let bytes = parts.reduce(0) { $0 + $1.weightBytes + $1.scaleBytes }
        table.add(
            "total", "", parts.reduce(0) { $0 + $1.tensors }.grouped, parts.reduce(0) { $0 + $1.parameters }.grouped,
            bytes.grouped, parts.reduce(0) { $0 + $1.scaleBytes }.grouped)

        var facts = TextTable([.left, .left])
        facts.add("file", "\(PackedCheckpoint.fileName), \(checkpoint.fileBytes.grouped) bytes")
        facts.add("formats", checkpoint.formats)
        facts.add("bits per weight", String(format: "%.2f", checkpoint.bitsPerWeight))
        if let group { facts.add("scales", group) }
        facts.add("layout", checkpoint.layout)
        facts.add("made of", origin)
        if let error = worstError {
            facts.add(
                "relative error",
                "mean \(scientific(error.mean)), largest \(scientific(error.largest)) in \(error.name)")
        }
        return facts.lines() + [""] + table.lines()
    }

    /// How many inputs share a scale, where there are any.
    private var group: String? {
        let groups = Set(checkpoint.contents.map(\.format).filter { $0.hasPrefix("int8") || $0.hasPrefix("int4") })
            .sorted()
        guard !groups.isEmpty else { return nil }
        return groups.map {
            $0 == "int8" ? "one per row" : "\($0.prefix(4)): one per row and \($0.dropFirst(5)) inputs"
        }
        .joined(separator: "; ")
    }

    private var origin: String {
        let name = report?["source"]?.string
        return [name, checkpoint.origin.map { name == nil ? $0 : "(\($0))" }].compactMap { $0 }.joined(separator: " ")
    }

    private var worstError: (mean: Double, largest: Double, name: String)? {
        let errors = (report?["matrices"]?.array ?? []).compactMap { matrix -> (name: String, error: Double)? in
            guard let name = matrix["name"]?.string, let error = matrix["relative_error"]?.double else { return nil }
            return (name, error)
        }
        guard let worst = errors.max(by: { $0.error < $1.error }) else { return nil }
        return (errors.reduce(0) { $0 + $1.error } / Double(errors.count), worst.error, worst.name)
    }

    private func scientific(_ number: Double) -> String { String(format: "%.2e", number) }

    // MARK: - JSON

    var json: JSON {
        [
            "formats": .string(checkpoint.formats),
            "layout": .string(checkpoint.layout),
            "bits_per_weight": JSON(checkpoint.bitsPerWeight),
            "file_bytes": JSON(checkpoint.fileBytes),
            "origin": checkpoint.origin.map { .string($0) } ?? .null,
            "source": report?["source"] ?? .null,
            "parts": .array(
                checkpoint.contents.map {
                    [
                        "name": .string($0.name), "format": .string($0.format), "tensors": JSON($0.tensors),
                        "parameters": JSON($0.parameters), "weight_bytes": JSON($0.weightBytes),
                        "scale_bytes": JSON($0.scaleBytes),
                    ]
                }),
            "relative_error": worstError.map {
                ["mean": JSON($0.mean), "largest": JSON($0.largest), "largest_in": .string($0.name)]
            } ?? .null,
        ]
    }
}
