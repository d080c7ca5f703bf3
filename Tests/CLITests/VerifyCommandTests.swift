import DualityCore
import Foundation
import TestSupport
import Testing

/// `vectors` and `verify`: nothing judged is exit 2, options that are not read are refused, NumPy
/// archives are read.
@Suite struct VerifyCommandTests {
    let directory: URL

    init() throws { directory = try Fixtures.temporaryDirectory() }

    private func path(_ name: String) -> String { directory.appendingPathComponent(name).path }

    @Test func aSuiteHeldAgainstItselfExitsWithTwo() throws {
        let written = try Duality.run("vectors", path("V"), "--suite", "smoke")
        #expect(written.status == 0, "\(written.errors)")
        let run = try Duality.run("verify", path("V"), "--against", path("V"))
        #expect(run.status == 2 && run.output.hasPrefix("UNCHECKED"), "\(run.status): \(run.output)")
        let json = try Duality.run("verify", path("V"), "--against", path("V"), "--json")
        #expect(json.status == 2)
        #expect(try JSON(parsing: json.output, place: "report")["verdict"]?.string == "UNCHECKED")
        let twice = try Duality.run("verify", path("V"), "--repeat", path("V"))
        #expect(twice.status == 2, "\(twice.output)")
    }

    @Test func vectorsOfAShapeHaveThatShape() throws {
        let written = try Duality.run(
            "vectors", path("S"), "--heads", "4", "--x-heads", "2", "--groups", "1", "--head-dim", "3", "--state", "5",
            "--chunk", "4", "--length", "9")
        #expect(written.status == 0 && written.output.contains("suite shape"), "\(written.errors)")
        let manifest = try JSON(contentsOf: "\(path("S"))/manifest.json")
        #expect(manifest["suite"]?.string == "shape")
        let lengths = Set(
            (manifest["cases"]?.array ?? []).compactMap { $0["inputs"]?["x"]?["shape"]?.array?.compactMap(\.int) })
        #expect(lengths.contains([1, 9, 2, 3]) && lengths.allSatisfy { $0[2] == 2 && $0[3] == 3 }, "\(lengths)")
        for wrong in [["--groups", "3"], ["--state", "0"], ["--suite", "smoke", "--heads", "2"]] {
            let run = try Duality.run(arguments: ["vectors", path("W")] + wrong)
            #expect(run.status == 2, "\(wrong): \(run.errors)")
        }
    }

    @Test func numPyArchivesAreReadAsDumpsAndOperands() throws {
        for name in ["dump", "deflated"] {
            let file = Fixtures.path("npy/\(name).npz")
            let run = try Duality.run("verify", file)
            #expect(run.status == 0 && run.output.hasPrefix("PASS"), "\(name): \(run.output) \(run.errors)")
            let computed = try Duality.run("ssd", "--in", file, "--out", path("y.safetensors"))
            #expect(computed.status == 0, "\(computed.errors)")
            #expect(try SafetensorsFile(path: path("y.safetensors")).info("y").shape == [1, 40, 2, 4])
        }
    }

    @Test func optionsThatAreNotReadAreRefused() throws {
        let file = Fixtures.path("npy/dump.npz")
        for (arguments, word) in [
            (["verify", file, "--options", "dt_sofplus=false"], "dt_softplus"),
            (["verify", file, "--options", "kind=convolution,epsilon=1"], "epsilon"),
            (["verify", file, "--map", "outt=y"], "outt"), (["verify", file, "--json", "--markdown"], "--json"),
            (["verify", file, "--html", "--verbose"], "--verbose"), (["verify", "--faults", file], "--faults"),
            (["verify", Fixtures.path("npy"), "--against", file, "--options", "x=y"], "error"),
            (["ssd", "--in", file, "--out", path("o"), "--form", "recurrent", "--chunk", "7"], "--chunk"),
            (["ssd", "--in", file, "--out", path("o"), "--chunk", "7"], "--chunk"),
            (["ssd", "--in", file, "--out", path("o"), "--emulate", "mamba_ssm", "--precision", "f32"], "--precision"),
        ] {
            let run = try Duality.run(arguments: arguments)
            #expect(run.status == 2 && run.errors.contains(word), "\(arguments): \(run.status) \(run.errors)")
        }
        let right = try Duality.run("verify", file, "--options", "dt_softplus=true,chunk_size=8")
        #expect(right.status == 0, "\(right.output) \(right.errors)")
    }

    @Test func theListsAreReadableByPrograms() throws {
        for option in ["--faults", "--presets"] {
            let run = try Duality.run("verify", option, "--json")
            let list = try JSON(parsing: run.output, place: option).array ?? []
            #expect(run.status == 0 && list.count > 5 && list.allSatisfy { $0["name"]?.string != nil })
        }
    }
}
