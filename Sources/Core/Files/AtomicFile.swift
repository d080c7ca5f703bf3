//  Whole files or none: what is written goes to a temporary file beside the destination, which
//  takes its name only when everything is on the disk. A reader, or a run that is interrupted, sees
//  the old file or the new one.

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// The system's `write`, whose name methods here have too.
private func writeBytes(_ descriptor: Int32, _ bytes: UnsafeRawPointer?, _ count: Int) -> Int {
    write(descriptor, bytes, count)
}

/// Receives the bytes of a file piece by piece.
public struct FileSink {
    fileprivate let descriptor: Int32
    fileprivate let path: String

    /// Bytes written so far.
    public var position: Int { Int(lseek(descriptor, 0, SEEK_CUR)) }

    /// Appends bytes.
    ///
    /// - Throws: `InputError` (`.inaccessibleFile`) when the disk is full or gone.
    public func write(_ bytes: UnsafeRawBufferPointer) throws(InputError) {
        var rest = bytes[...]
        while !rest.isEmpty {
            let written = writeBytes(descriptor, UnsafeRawBufferPointer(rebasing: rest).baseAddress, rest.count)
            if written < 0 {
                if errno == EINTR { continue }
                throw InputError.system(in: path, expected: "room for \(bytes.count) bytes")
            }
            rest = rest.dropFirst(written)
        }
    }

    /// Appends text as UTF-8.
    public func write(_ text: String) throws(InputError) {
        var text = text
        let result = text.withUTF8 { utf8 in
            Result { () throws(InputError) in try write(UnsafeRawBufferPointer(utf8)) }
        }
        try result.get()
    }
}

/// Creates or replaces the file at `path` with what `body` writes, all at once.
///
/// Follows a symbolic link; refuses to replace what is not a regular file.
///
/// - Throws: `InputError` when the file cannot be written, and what `body` throws; the destination
///   is then untouched.
public func writeAtomically(to path: String, _ body: (FileSink) throws -> Void) throws {
    var destination = path
    var status = stat()
    if stat(path, &status) == 0 {
        guard status.st_mode & S_IFMT == S_IFREG else {
            throw InputError(
                .inaccessibleFile, in: path, expected: "a file to write",
                found: status.st_mode & S_IFMT == S_IFDIR ? "a directory" : "something else than a regular file")
        }
        if let resolved = realpath(path, nil) {
            destination = String(cString: resolved)
            free(resolved)
        }
    }
    let temporary = FileSystem.temporary(beside: destination)
    // Permissions of an ordinary new file: everything the user's umask leaves.
    let descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o666)
    guard descriptor >= 0 else { throw InputError.system(in: path, expected: "a place where a file can be written") }
    do {
        do {
            defer { close(descriptor) }
            try body(FileSink(descriptor: descriptor, path: path))
            guard fsync(descriptor) == 0 else {
                throw InputError.system(in: path, expected: "a disk that keeps the file")
            }
        }
        guard rename(temporary, destination) == 0 else {
            throw InputError.system(in: path, expected: "a place where a file can be written")
        }
    } catch {
        unlink(temporary)
        throw error
    }
}
