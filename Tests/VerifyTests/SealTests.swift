//  A sealed suite: sealed twice it is the same, and whatever is changed afterwards is seen.

import DualityCore
import Foundation
import TestSupport
import Testing

@testable import DualityVerify

@Suite struct SealTests {
    /// A suite of one case per kind, or of one scan alone.
    private func suite(ofScan isScan: Bool = false) throws -> URL {
        let folder = try Fixtures.temporaryDirectory()
        var kinds: Set<CaseKind> = [.mixer]
        let cases = VectorSuite.standard.cases.filter { item in
            isScan ? item.name == "length-2" : item.name == "tiny-dims" || kinds.insert(item.kind).inserted
        }
        try SuiteDirectory.write(cases, called: "some", in: .f32, to: folder.path)
        return folder
    }

    @Test func aSealHoldsUntilSomethingChanges() throws {
        let folder = try suite()
        defer { try? FileManager.default.removeItem(at: folder) }
        let seal = try SuiteSeal(sealing: folder.path)
        #expect(seal.preciseCases >= 4 && seal.preciseCases < seal.cases)
        // Between zero, which nothing but luck gives, and what float64 loses.
        #expect(seal.largestDifference > 1e-17 && seal.largestDifference < 1e-11, "\(seal.largestDifference)")
        #expect(try SuiteSeal(sealing: folder.path).hash == seal.hash)
        let report = try SealReport(checking: folder.path)
        #expect(report.verdict == .pass && report.cases.count == seal.cases, "\(report.text)")
        #expect(report.cases.allSatisfy { $0.same == $0.count && $0.largestShare == 0 })
        #expect(report.hash == seal.hash)

        // One number of one file, by more than its last digit.
        let place = folder.appendingPathComponent("expected/tiny-dims.safetensors")
        let whole = try Data(contentsOf: place)
        var changed = whole
        changed[changed.count - 2] ^= 1
        try changed.write(to: place)
        let foreign = try SealReport(checking: folder.path)
        #expect(foreign.verdict == .fail && foreign.problems.count == 1, "\(foreign.text)")
        try whole.write(to: place)

        let manifest = folder.appendingPathComponent("manifest.json")
        let text = try String(contentsOf: manifest, encoding: .utf8)
        try Data(text.replacing("\"chunk_size\": 64", with: "\"chunk_size\": 63", maxReplacements: 1).utf8)
            .write(to: manifest)
        #expect(throws: InputError.self) { try SealReport(checking: folder.path) }
    }

    /// A version that expects other numbers, which is imitated by a seal of such numbers.
    @Test(arguments: [(0.0, true), (1e-16, true), (1e-9, false), (.infinity, false)])
    func numbersThatAreOthersAreSeen(change: Double, agrees: Bool) throws {
        let folder = try suite(ofScan: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        _ = try SuiteSeal(sealing: folder.path)
        let place = folder.appendingPathComponent("expected/length-2.safetensors")
        let file = try SafetensorsFile(path: place.path)
        var writer = SafetensorsWriter(metadata: ["kind": "scan"])
        for name in file.names.sorted() {
            var tensor: Tensor<Double> = try file.tensor(name)
            if name == "y" { tensor.elements[3] *= 1 + change }
            try writer.add(name, tensor)
        }
        try writer.write(to: place.path)
        try reseal(folder, "length-2", of: place)
        let report = try SealReport(checking: folder.path)
        #expect((report.verdict == .pass) == agrees, "\(report.text)")
        let disagreement = report.cases.first { $0.name == "length-2" }?.disagreement
        #expect((disagreement?.hasPrefix("y[3]") ?? false) == !agrees)
    }

    /// The manifest with the hash of a file as it is now.
    private func reseal(_ folder: URL, _ name: String, of place: URL) throws {
        let path = folder.appendingPathComponent("manifest.json").path
        var manifest = try #require(try JSON(contentsOf: path).object)
        var cases = try #require(manifest["cases"]?.array)
        let i = try #require(cases.firstIndex { $0["name"]?.string == name })
        var item = try #require(cases[i].object)
        var expected = try #require(item["expected"]?.object)
        expected["sha256"] = .string(try Data(contentsOf: place).withUnsafeBytes { sha256($0) })
        item["expected"] = .object(expected)
        cases[i] = .object(item)
        manifest["cases"] = .array(cases)
        manifest["seal"] = ["schema": 1, "sha256": .string(SuiteSeal.hash(of: cases)), "program": .null]
        try Data(JSON.object(manifest).serialized().utf8).write(to: URL(fileURLWithPath: path))
    }

    @Test func whatIsNotSealedIsNoPass() throws {
        let folder = try suite(ofScan: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let error = #expect(throws: InputError.self) { try SealReport(checking: folder.path) }
        #expect(error?.remedy.contains("--seal") ?? false)
        #expect(throws: InputError.self) { try SealReport(checking: "\(folder.path)/nowhere") }
        // Sealed without cases is nothing at all.
        let text = #"{"schema": 1, "suite": "none", "dtype": "f32", "cases": []}"#
        try Data(text.utf8).write(to: folder.appendingPathComponent("manifest.json"))
        #expect(throws: InputError.self) { try SuiteSeal(sealing: folder.path) }
    }

    /// A suite of a version that knows further kinds is refused by the name of the kind.
    @Test func aKindThatNobodyKnowsIsNamed() throws {
        let folder = try suite(ofScan: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let text =
            #"{"schema": 1, "cases": [{"name": "a", "kind": "quantum", "file": "a.safetensors", "sha256": ""}]}"#
        try Data(text.utf8).write(to: folder.appendingPathComponent("manifest.json"))
        let error = #expect(throws: InputError.self) { try SuiteDirectory(path: folder.path) }
        #expect(error?.description.contains("\"quantum\"") == true && error?.place.contains("cases[0].kind") == true)
    }
}
