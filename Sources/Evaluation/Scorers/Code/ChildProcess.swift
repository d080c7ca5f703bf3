//  A child process in a group of its own, of which nothing is left when it goes.

import DualityCore
import Foundation

/// A child: text on its standard input, a pipe for its report as descriptor 3, nothing else.
final class ChildProcess {
    private let identifier: pid_t
    private let reports: Int32
    private var isReaped = false

    /// Starts a command with PATH and HOME as its only environment.
    ///
    /// - Throws: `InputError` (`.inaccessibleFile`) when the system has no process or pipe left.
    init(_ command: [String], home: String, input: String) throws(InputError) {
        // The input comes from a file without a name: no thread has to feed a pipe.
        let source = try Self.unnamedFile(input)
        defer { close(source) }
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else { throw InputError.system(in: command[0], expected: "a pipe") }
        _ = fcntl(ends[0], F_SETFD, FD_CLOEXEC)
        reports = ends[0]

        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        // The pipe's end may be descriptor 3 itself; a detour keeps it open across the start.
        posix_spawn_file_actions_adddup2(&actions, source, 0)
        posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0)
        posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0)
        let detour: Int32 = 200
        posix_spawn_file_actions_adddup2(&actions, ends[1], detour)
        posix_spawn_file_actions_adddup2(&actions, detour, 3)
        posix_spawn_file_actions_addclose(&actions, detour)
        if ends[1] != 3 { posix_spawn_file_actions_addclose(&actions, ends[1]) }
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETPGROUP))
        posix_spawnattr_setpgroup(&attributes, 0)

        let path = ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin"
        var arguments: [UnsafeMutablePointer<CChar>?] = command.map { strdup($0) } + [nil]
        let settings = ["PATH=\(path)", "HOME=\(home)"]
        var environment: [UnsafeMutablePointer<CChar>?] = settings.map { strdup($0) } + [nil]
        defer {
            for text in arguments + environment { free(text) }
        }
        var child: pid_t = 0
        let status = posix_spawn(&child, command[0], &actions, &attributes, &arguments, &environment)
        close(ends[1])
        identifier = child
        guard status == 0 else {
            isReaped = true
            throw InputError(
                .inaccessibleFile, in: command[0], expected: "a program that starts",
                found: String(cString: strerror(status)))
        }
    }

    deinit {
        end()
        if reports >= 0 { close(reports) }
    }

    private static func unnamedFile(_ text: String) throws(InputError) -> Int32 {
        var name = Array("\(NSTemporaryDirectory())/duality-code-XXXXXX".utf8CString)
        let file = mkstemp(&name)
        guard file >= 0 else { throw InputError.system(in: NSTemporaryDirectory(), expected: "room for a file") }
        unlink(name)
        _ = fcntl(file, F_SETFD, FD_CLOEXEC)
        var bytes = Array(text.utf8)[...]
        while !bytes.isEmpty {
            let count = bytes.withUnsafeBytes { write(file, $0.baseAddress, $0.count) }
            guard count > 0 else {
                close(file)
                throw InputError.system(in: NSTemporaryDirectory(), expected: "room for a file")
            }
            bytes = bytes.dropFirst(count)
        }
        lseek(file, 0, SEEK_SET)
        return file
    }

    /// What the child writes as its report until it closes it or the time is over; it is ended
    /// then.
    ///
    /// - Parameters:
    ///   - start: how long the first byte, which says that the child is ready, may take.
    ///   - seconds: how long everything after it may take.
    /// - Returns: the report without its first byte.
    func report(start: Double, seconds: Double) -> String {
        var deadline = ContinuousClock.now + .milliseconds(Int(start * 1000))
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 4096)
        while bytes.count < 65536 {
            let left = (deadline - ContinuousClock.now).seconds
            guard left > 0 else { break }
            var wait = pollfd(fd: reports, events: Int16(POLLIN), revents: 0)
            let ready = poll(&wait, 1, Int32((left * 1000).rounded(.up)))
            if ready < 0, errno == EINTR { continue }
            guard ready > 0 else { break }
            let count = read(reports, &buffer, buffer.count)
            guard count > 0 else { break }
            if bytes.isEmpty { deadline = ContinuousClock.now + .milliseconds(Int(seconds * 1000)) }
            bytes += buffer[..<count]
        }
        end()
        return String(decoding: bytes.dropFirst(), as: UTF8.self)
    }

    /// The exit status; nil when it takes longer.
    func waitForStatus(seconds: Double) -> Int32? {
        let deadline = ContinuousClock.now + .milliseconds(Int(seconds * 1000))
        while ContinuousClock.now < deadline {
            var status: Int32 = 0
            if waitpid(identifier, &status, WNOHANG) == identifier {
                isReaped = true
                return status & 0x7F == 0 ? (status >> 8) & 0xFF : -1
            }
            usleep(2000)
        }
        return nil
    }

    /// Ends the whole group and takes the child's status.
    private func end() {
        guard !isReaped else { return }
        isReaped = true
        kill(-identifier, SIGKILL)
        kill(identifier, SIGKILL)
        var status: Int32 = 0
        while waitpid(identifier, &status, 0) < 0, errno == EINTR {}
    }
}
