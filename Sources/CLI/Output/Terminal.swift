//  Talking to the person: chatter and progress on stderr, results on stdout.

import Foundation

enum Terminal {
    static let stderrIsTerminal = isatty(STDERR_FILENO) == 1
    static let stdoutIsTerminal = isatty(STDOUT_FILENO) == 1
    static let stdinIsTerminal = isatty(STDIN_FILENO) == 1

    /// Writes text to stdout at once, without a line end: what streaming is.
    static func stream(_ text: String) {
        FileHandle.standardOutput.write(Data(text.utf8))
    }

    /// Writes a line to stderr.
    static func note(_ line: String) {
        let prefix = RankLaunch.isFirst ? "" : RankLaunch.world.map { "\($0.prefix) " } ?? ""
        FileHandle.standardError.write(Data("\(prefix)\(line)\n".utf8))
    }

    /// Shows a line of progress on stderr that the next one overwrites; nothing when stderr is not
    /// a terminal.
    static func progress(_ line: String) {
        guard stderrIsTerminal, RankLaunch.isFirst else { return }
        FileHandle.standardError.write(Data("\r\u{1B}[K\(line)".utf8))
    }

    /// Removes the line of progress.
    static func clearProgress() {
        progress("")
    }
}
