//  Running a program that a model wrote, to see whether its test passes.
//
//  This protects from accidents and not from an enemy: a Python child in a process group of its
//  own, an empty temporary folder as its working directory and home, no input, no output, an
//  environment of PATH alone, limits on memory, files and time, and where the system allows it
//  neither network nor processes that outlive it. The verdict is not the exit status: the driver
//  reads a number that nobody can guess, runs the program to its last line, and only then writes
//  the number to a pipe. A program that exits earlier, by whatever means, has not passed.

import DualityCore
import Foundation

/// Runs programs, one after another.
package struct CodeRunner: Sendable {
    /// The interpreter, a name on the PATH or a path.
    private let python: String
    /// The command that takes network and processes away; empty where the system refuses it.
    private let isolation: [String]

    /// - Throws: `InputError` (`.missingFile`) when there is no interpreter.
    package init(python: String = "python3") throws(InputError) {
        guard let path = Self.find(python) else {
            throw InputError(
                .missingFile, in: "--python", expected: "a Python interpreter", found: "no \(python) on the PATH")
        }
        self.python = path
        isolation = Self.isolation(path)
    }

    private static func find(_ name: String) -> String? {
        if name.contains("/") { return access(name, X_OK) == 0 ? name : nil }
        let path = ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin"
        return path.split(separator: ":").map { "\($0)/\(name)" }.first { access($0, X_OK) == 0 }
    }

    /// What `unshare` can do here, found out by doing it.
    private static func isolation(_ python: String) -> [String] {
        guard let unshare = find("unshare") else { return [] }
        let rights = geteuid() == 0 ? [] : ["--user", "--map-root-user"]
        for namespaces in [["--net", "--pid", "--fork", "--kill-child"], ["--net"]] {
            let command = [unshare] + rights + namespaces
            let child = try? ChildProcess(command + [python, "-c", ""], home: "/", input: "")
            if child?.waitForStatus(seconds: 5) == 0 { return command }
        }
        return []
    }

    /// Whether a program runs to its end in time.
    ///
    /// - Throws: `InputError` when no process or folder can be made.
    package func passes(_ program: String, seconds: Double) throws(InputError) -> Bool {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("duality-code-\(UUID().uuidString)")
        do {
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        } catch {
            throw InputError(.inaccessibleFile, in: folder.path, expected: "a temporary folder", found: "\(error)")
        }
        defer { try? FileManager.default.removeItem(at: folder) }
        let nonce = (0..<4).map { _ in String(UInt64.random(in: 0 ... .max), radix: 36) }.joined(separator: "-")
        let command =
            isolation + [python, "-I", "-B", "-c", Self.driver, "\(Int(seconds.rounded(.up)) + 2)", folder.path]
        let child = try ChildProcess(command, home: folder.path, input: "\(nonce)\n\(program)")
        return child.report(start: 20, seconds: seconds) == nonce
    }

    /// Takes the interpreter's dangerous doors away, runs the program, writes the number.
    private static let driver = """
        import os, sys, resource
        text = os.fdopen(0, "rb").read().decode("utf-8", "surrogateescape")
        nonce, program = text.split("\\n", 1)
        seconds = int(sys.argv[1])
        os.chdir(sys.argv[2])
        os.open(os.devnull, os.O_RDONLY)
        def limit(name, value):
            try:
                resource.setrlimit(getattr(resource, name), (value, value))
            except (ValueError, OSError, AttributeError):
                pass
        limit("RLIMIT_AS", 4 << 30)
        limit("RLIMIT_FSIZE", 16 << 20)
        limit("RLIMIT_NPROC", 256)
        limit("RLIMIT_CPU", seconds)
        limit("RLIMIT_CORE", 0)
        import builtins, shutil, subprocess
        builtins.exit = builtins.quit = None
        for name in ("kill", "killpg", "system", "fork", "forkpty", "setsid", "setuid", "setgid", "chroot", "putenv"):
            setattr(os, name, None)
        subprocess.Popen = None
        shutil.rmtree = shutil.move = None
        sys.argv = [""]
        def main(write=os.write, nonce=nonce, program=program):
            write(3, b"R")
            try:
                exec(compile(program, "<program>", "exec"), {})
            except BaseException:
                return
            write(3, nonce.encode())
        main()
        """
}
