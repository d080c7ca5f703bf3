//  The command `duality`: one file a subcommand, no logic of its own.
//
//  Results go to stdout, chatter and progress to stderr. Exit status: 0 done, 1 a check failed, 2
//  usage or input.

import ArgumentParser
import DualityCore
import Foundation

@main
struct Duality: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "duality",
        abstract: "Verify state space duality kernels, run hybrid Attention + Mamba-2 models, and see why both work.",
        subcommands: [
            GenerateCommand.self, ChatCommand.self, InspectCommand.self, PerplexityCommand.self, LogitsCommand.self,
            TokenizeCommand.self, TemplateCommand.self, SSDCommand.self, CheckCommand.self, QuantizeCommand.self,
            SynthesizeCommand.self, BenchCommand.self, ServeCommand.self, CompareCommand.self, ComposeCommand.self,
            PrimeCommand.self, FamilyCommand.self, VectorsCommand.self, VerifyCommand.self, EvaluateCommand.self,
        ]
    )

    static func main() async {
        do {
            // Parsed by itself, since what is run must have no second owner.
            if try !RankLaunch.begin(parseAsRoot()) { return }
            var command = try parseAsRoot()
            if var asynchronous = command as? AsyncParsableCommand {
                try await asynchronous.run()
            } else {
                try command.run()
            }
            RankLaunch.end()
        } catch let error as InputError {
            RankLaunch.fail("error: \(error)", status: 2)
        } catch let end as CampaignEnd {
            RankLaunch.fail("error: \(end.text)", status: end.status)
        } catch {
            // ArgumentParser's own: help and version are a success, anything else is a usage error.
            let message = fullMessage(for: error)
            let code = exitCode(for: error)
            if code == .success {
                print(message)
                Foundation.exit(0)
            }
            if message.isEmpty {
                RankLaunch.end(status: code.rawValue)
                Foundation.exit(code.rawValue)
            }
            RankLaunch.fail(message, status: code == .validationFailure ? 2 : code.rawValue)
        }
    }
}
