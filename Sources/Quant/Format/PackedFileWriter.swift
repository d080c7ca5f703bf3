//  Writes a large safetensors file tensor by tensor, so that an interrupted run can go on where it
//  was.
//
//      FILE.part      grows by one whole tensor after another        a run that finds it, with the same header, keeps its whole
//                                                                    tensors and cuts off what follows
//      FILE           takes its name when everything is on the disk
//
//  Unlike the general writer it keeps the order in which tensors were added and starts the data at
//  a multiple of 64 bytes: with the large matrices first, whose sizes are multiples of 64, every
//  one of them lies aligned in the mapped file.

import DualityCore
import Foundation

/// A safetensors file in the making.
struct PackedFileWriter {
    /// The file's string table. It decides, with the tensors' names and shapes, whether an
    /// interrupted run is continued.
    var metadata: [String: String]
    private(set) var entries: [Entry] = []

    struct Entry {
        let name: String
        let dtype: DType
        let shape: [Int]
        let byteCount: Int
        /// Writes exactly `byteCount` bytes, in one or more pieces.
        let produce: ((UnsafeRawBufferPointer) throws -> Void) throws -> Void
    }

    /// Data begin at a multiple of this.
    static let alignment = 64

    init(metadata: [String: String]) {
        self.metadata = metadata
    }

    mutating func add(
        _ name: String, dtype: DType, shape: [Int],
        produce: @escaping ((UnsafeRawBufferPointer) throws -> Void) throws -> Void
    ) {
        let byteCount = shape.reduce(1, *) * dtype.bits / 8
        entries.append(Entry(name: name, dtype: dtype, shape: shape, byteCount: byteCount, produce: produce))
    }

    var byteCount: Int { header.count + entries.reduce(0) { $0 + $1.byteCount } }

    /// Writes the file.
    ///
    /// - Parameter progress: is told the bytes written so far, the bytes in all, and the tensor
    ///   that comes next (nil at the end).
    /// - Returns: how many tensors an earlier run had written already.
    /// - Throws: `InputError` when the disk is full or gone. What was written stays for the next
    ///   run, under the name `path.part`.
    @discardableResult
    func write(to path: String, progress: (Int, Int, String?) -> Void) throws -> Int {
        let header = header
        let partial = path + ".part"
        let file = try GrowingFile(path: partial)
        let kept = try wholeTensors(in: file, header: header)
        let total = byteCount
        if kept == nil {
            try file.cut(to: 0)
            try header.withUnsafeBytes { try file.append($0) }
        }
        var written = header.count
        for entry in entries.prefix(kept ?? 0) { written += entry.byteCount }
        try file.cut(to: written)
        var unsynced = 0
        for entry in entries.dropFirst(kept ?? 0) {
            progress(written, total, entry.name)
            let start = file.count
            try entry.produce { try file.append($0) }
            guard file.count - start == entry.byteCount else {
                throw InputError(
                    .truncated, in: "\(path): \(entry.name)", expected: "\(entry.byteCount) bytes from its producer",
                    found: "\(file.count - start)")
            }
            written = file.count
            unsynced += entry.byteCount
            // A tensor counts as written only if its bytes are on the disk before later ones
            // lengthen the file.
            if unsynced > 1 << 30 {
                try file.synchronize()
                unsynced = 0
            }
        }
        try file.synchronize()
        guard rename(partial, path) == 0 else {
            throw InputError(
                .inaccessibleFile, in: path, expected: "a place where a file can be written",
                found: String(cString: strerror(errno)).lowercased())
        }
        progress(total, total, nil)
        return kept ?? 0
    }

    /// The tensors that a partial file holds whole; nil when it is of another run or empty.
    private func wholeTensors(in file: GrowingFile, header: [UInt8]) throws -> Int? {
        guard file.count >= header.count, try file.prefix(header.count) == header else { return nil }
        var (end, count) = (header.count, 0)
        for entry in entries {
            end += entry.byteCount
            if end > file.count { break }
            count += 1
        }
        return count
    }

    /// The 8 bytes of length and the JSON, padded with spaces up to the alignment.
    private var header: [UInt8] {
        var object = JSON.Object()
        var table = JSON.Object()
        for (name, text) in metadata.sorted(by: { $0.key < $1.key }) { table[name] = .string(text) }
        object["__metadata__"] = .object(table)
        var offset = 0
        for entry in entries {
            object[entry.name] = [
                "dtype": .string(entry.dtype.rawValue), "shape": .array(entry.shape.map { JSON($0) }),
                "data_offsets": [JSON(offset), JSON(offset + entry.byteCount)],
            ]
            offset += entry.byteCount
        }
        var text = Array(JSON.object(object).serialized().utf8)
        while (8 + text.count) % Self.alignment != 0 { text.append(UInt8(ascii: " ")) }
        return withUnsafeBytes(of: UInt64(text.count).littleEndian) { Array($0) } + text
    }
}

/// A file that is written at its end.
private final class GrowingFile {
    private let descriptor: Int32
    private let path: String
    private(set) var count: Int

    init(path: String) throws(InputError) {
        self.path = path
        descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o666)
        count = 0
        guard descriptor >= 0 else { throw failure("a place where a file can be written") }
        let end = lseek(descriptor, 0, SEEK_END)
        guard end >= 0 else { throw failure("a regular file") }
        count = Int(end)
    }

    deinit { if descriptor >= 0 { close(descriptor) } }

    func prefix(_ length: Int) throws(InputError) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: length)
        var done = 0
        while done < length {
            let got = bytes.withUnsafeMutableBytes {
                pread(descriptor, $0.baseAddress! + done, length - done, off_t(done))
            }
            if got < 0 && errno == EINTR { continue }
            guard got > 0 else { throw failure("a readable file") }
            done += got
        }
        return bytes
    }

    func cut(to length: Int) throws(InputError) {
        guard ftruncate(descriptor, off_t(length)) == 0 else { throw failure("a file that can be cut") }
        count = length
    }

    func append(_ bytes: UnsafeRawBufferPointer) throws(InputError) {
        var done = 0
        while done < bytes.count {
            let wrote = pwrite(descriptor, bytes.baseAddress! + done, bytes.count - done, off_t(count + done))
            if wrote < 0 && errno == EINTR { continue }
            guard wrote >= 0 else { throw failure("room for \(bytes.count) bytes") }
            done += wrote
        }
        count += done
    }

    func synchronize() throws(InputError) {
        guard fsync(descriptor) == 0 else { throw failure("a disk that keeps the file") }
    }

    private func failure(_ expected: String) -> InputError {
        InputError(
            .inaccessibleFile, in: path, expected: expected, found: String(cString: strerror(errno)).lowercased())
    }
}
