//  Numbers that options do not expect: the largest and smallest, and those just beyond.

import DualityCore
import Foundation
import TestSupport
import Testing

@Suite struct NumberTests {
    private static let numbers = ["9223372036854775807", "-9223372036854775808", "-1"]

    /// Refused with status 2 and the option's name, never by a trap.
    @Test(arguments: [
        (["bench", "--repeats", "1", "--prompt", "4", "--generate", "2"], "--depth"),
        (["bench", "--repeats", "1", "--generate", "2"], "--prompt"),
        (["bench", "--repeats", "1", "--prompt", "4"], "--generate"),
        (["family"], "--hosts"), (["family", "--hosts", "4"], "--bandwidth"), (["family"], "--tflops"),
        (["family"], "--weight-bytes"), (["family"], "--window-size"),
    ]) func numbersBeyondReasonAreRefused(command: [String], option: String) throws {
        for number in Self.numbers {
            let run = try Duality.run(arguments: command + ["\(option)=\(number)"])
            #expect(run.status == 2 && run.errors.contains(option), "\(option) \(number): \(run.status) \(run.errors)")
        }
    }

    /// What may be as large as one likes is taken as it is.
    @Test func aLimitMayBeLargerThanAnything() throws {
        let file = FileManager.default.temporaryDirectory.appendingPathComponent("numbers-\(UUID().uuidString).txt")
        defer { try? FileManager.default.removeItem(at: file) }
        try "The fox sat in the wood.".write(to: file, atomically: true, encoding: .utf8)
        let huge = Self.numbers[0]
        for command in [
            ["generate", "--greedy", "--chat", "--max-tokens", huge, "What is 17 plus 25?"],
            ["generate", "--greedy", "--chat", "--max-tokens", huge, "--context", huge, "What is 17 plus 25?"],
            ["perplexity", file.path, "--window", huge],
        ] {
            let run = try Duality.run(arguments: command)
            #expect(
                run.status == 0 || run.status == 2 && run.errors.contains("memory"),
                "\(command): \(run.status) \(run.errors)")
        }
        for option in ["--window=1", "--window=\(Self.numbers[1])", "--stride=0", "--stride=\(Self.numbers[1])"] {
            let run = try Duality.run("perplexity", file.path, option)
            #expect(run.status == 2 && run.errors.contains(option.prefix(8)), "\(option): \(run.status) \(run.errors)")
        }
    }

    /// By every command, whether or not it has an engine.
    @Test func aNumberOfThreadsInTheEnvironmentIsRead() throws {
        for command in [["check", "--cases", "1"], ["generate", "--max-tokens", "1", "Hi"], ["family"]] {
            for number in ["0", "two", "1e9", Self.numbers[0]] {
                let run = try Duality.run(arguments: command, environment: ["DUALITY_THREADS": number])
                #expect(
                    run.status == 2 && run.errors.contains("DUALITY_THREADS") && run.errors.contains(number),
                    "\(command) \(number): \(run.status) \(run.errors)")
            }
            #expect(try Duality.run(arguments: command, environment: ["DUALITY_THREADS": ""]).status == 0)
        }
    }

    @Test func aNetworkNeedsHosts() throws {
        let alone = try Duality.run("family", "--network", "1GbE")
        #expect(alone.status == 2 && alone.errors.contains("--hosts"), "\(alone.errors)")
        for flags in [[], ["--json"]] {
            let run = try Duality.run(arguments: ["family", "--hosts", "2", "--bandwidth", "1e308"] + flags)
            #expect(run.status == 2 && run.errors.contains("--bandwidth"), "\(run.errors)")
        }
        // The machine of the predictions for one host is not one of eight accelerators.
        let run = try Duality.run("family", "--hosts", "2", "--json")
        #expect(try JSON(parsing: run.output)["bandwidth"]?.double == 30e9, "\(run.output)")
    }
}
