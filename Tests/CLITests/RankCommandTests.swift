//  What the commands say to those who start several processes.

import DualityCore
import TestSupport
import Testing

@Suite struct RankCommandTests {
    /// A build without MPI, or a launcher that is not there, whichever tests are built with.
    @Test func processesThatCannotBe() throws {
        let cases: [([String], [String])] = [
            (["--pipeline-parallel", "2"], ["--pipeline-parallel 2", "--traits MPI"]),
            (["--pipeline-parallel", "9223372036854775807"], ["--pipeline-parallel 9223372036854775807"]),
            (["--pipeline-parallel", "0"], ["--pipeline-parallel must be at least 1"]),
            (["--pipeline-parallel=-3"], ["--pipeline-parallel must be at least 1"]),
            (["--pipeline-parallel", "two"], ["--pipeline-parallel", "two"]),
            (["--pipeline-parallel", "9223372036854775808"], ["--pipeline-parallel", "9223372036854775808"]),
            (
                ["--pipeline-parallel", "2", "--tensor-parallel", "3"],
                ["--tensor-parallel 3 --pipeline-parallel 2", "--traits MPI"]
            ),
            (
                ["--pipeline-parallel", "9223372036854775807", "--tensor-parallel", "2"],
                ["--tensor-parallel and --pipeline-parallel", "more processes than can be counted"]
            ),
            (["--pipeline-parallel", "2", "--wire", "int8"], ["--wire int8 goes with --tensor-parallel", "float32"]),
        ]
        for (arguments, words) in cases {
            let run = try Duality.run(arguments: ["generate", "Hi", "--max-tokens", "2"] + arguments)
            #expect(!run.wasSignalled && run.status != 0 && run.output.isEmpty, "\(arguments): \(run.errors)")
            for word in words { #expect(run.errors.contains(word), "\(word) not in: \(run.errors)") }
        }
        // One process is all of them.
        for arguments in [
            ["--pipeline-parallel", "1"], ["--pipeline-parallel", "1", "--tensor-parallel", "1", "--wire", "int8"],
        ] {
            let run = try Duality.run(arguments: ["generate", "Hi", "--max-tokens", "2"] + arguments)
            #expect(run.status == 0 && !run.output.isEmpty, "\(run.errors)")
        }
    }
}
