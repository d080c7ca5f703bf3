//  A file in the address space: nothing is read before it is touched, and nothing is copied.

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// The bytes of a regular file, mapped read-only for as long as this object lives.
///
/// The file must not be shortened meanwhile: the operating system ends a process that touches a
/// page that is gone.
public final class MappedFile: Sendable {
    /// The path it was opened by, as given.
    public let path: String
    /// Bytes of the file when it was opened.
    public let count: Int
    /// Start of the mapping; nil for an empty file, which cannot be mapped.
    private nonisolated(unsafe) let base: UnsafeMutableRawPointer?

    /// - Throws: `InputError`: `.missingFile`, or `.inaccessibleFile` for a directory, a device or
    ///   a refusal.
    public init(path: String) throws(InputError) {
        // Not to wait for the writer of a pipe, which is refused below.
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { throw InputError.system(in: path, expected: "a readable file") }
        defer { close(descriptor) }

        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw InputError.system(in: path, expected: "a readable file") }
        guard status.st_mode & S_IFMT == S_IFREG else {
            let kind = status.st_mode & S_IFMT == S_IFDIR ? "a directory" : "something else than a regular file"
            throw InputError(.inaccessibleFile, in: path, expected: "a file", found: kind)
        }
        self.path = path
        count = Int(status.st_size)
        guard count > 0 else {
            base = nil
            return
        }
        guard let address = mmap(nil, count, PROT_READ, MAP_PRIVATE, descriptor, 0), address != MAP_FAILED else {
            throw InputError.system(in: path, expected: "a file that can be mapped")
        }
        base = address
    }

    deinit {
        if let base { munmap(base, count) }
    }

    /// All bytes; valid while this object lives.
    var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: base, count: count) }

    /// Calls `body` with all bytes of the file.
    public func withBytes<Result>(_ body: (UnsafeRawBufferPointer) throws -> Result) rethrows -> Result {
        try withExtendedLifetime(self) { try body(bytes) }
    }
}

extension InputError {
    /// The complaint about a call of the operating system that has just set `errno`.
    package static func system(in path: String, expected: String) -> InputError {
        let code = errno
        let missing = code == ENOENT || code == ENOTDIR
        return InputError(
            missing ? .missingFile : .inaccessibleFile, in: path, expected: expected,
            found: missing ? "no such file" : String(cString: strerror(code)).lowercased())
    }
}
