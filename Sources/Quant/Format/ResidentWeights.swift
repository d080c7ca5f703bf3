//  A packed model read into memory instead of mapped.
//
//  A mapped file is there at once and shared with other processes, in pages of 4 KiB. Decoding
//  reads every weight once per token, and over huge pages of memory of its own that is about a
//  tenth faster (docs/performance.md); loading then takes as long as copying. The bytes lie at the
//  same distances as in the file, so that every tensor keeps its alignment.

import DualityCore
import Foundation

/// The tensors of a packed checkpoint in memory of this process.
struct ResidentWeights: WeightStore {
    private let packed: PackedCheckpoint
    private let memory: AlignedMemory
    /// The byte of the file that lies at the start of `memory`.
    private let first: Int

    /// Reads the whole file, on all threads of the pool.
    ///
    /// - Throws: `InputError` when it cannot be read.
    init(_ packed: PackedCheckpoint, pool: ThreadPool) throws {
        self.packed = packed
        let infos = packed.file.names.compactMap { packed.file.find($0) }
        first = infos.map(\.byteRange.lowerBound).min() ?? 0
        let count = (infos.map(\.byteRange.upperBound).max() ?? 0) - first
        memory = AlignedMemory(byteCount: count)
        let descriptor = open(packed.file.place, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            throw InputError(
                .inaccessibleFile, in: packed.file.place, expected: "a readable file",
                found: String(cString: strerror(errno)).lowercased())
        }
        defer { close(descriptor) }
        let block = 8 << 20
        let blocks = (count + block - 1) / block
        let failures = ReadFailures(count: blocks)
        let (base, start) = (memory.base, first)
        pool.run(blocks) { index, _ in
            var done = index * block
            let end = min(done + block, count)
            while done < end {
                let got = pread(descriptor, base + done, end - done, off_t(start + done))
                if got < 0 && errno == EINTR { continue }
                guard got > 0 else { return failures.record(index) }
                done += got
            }
        }
        guard !failures.any else {
            throw InputError(
                .inaccessibleFile, in: packed.file.place, expected: "\(count) bytes of weights",
                found: "an error on reading")
        }
    }

    var place: String { packed.place }

    func vector(_ name: String) throws -> [Float] { try packed.vector(name) }

    func matrix(_ name: String, rows: Range<Int>?, label: String, format: WeightFormat) throws -> PackedMatrix {
        let mapped = try packed.matrix(name, rows: rows, label: label, format: format)
        let stored = PackedInventory.Matrix.storedName(name, label: label)
        return PackedMatrix(
            rows: mapped.rows, columns: mapped.columns, format: mapped.format, weights: try bytes(stored),
            scales: mapped.scales == nil ? nil : try bytes("\(stored).scales"),
            // The mapped tables, which were looked through; they are small.
            compact: mapped.compact)
    }

    private func bytes(_ name: String) throws -> WeightBytes {
        let range = try packed.file.info(name).byteRange
        return WeightBytes(memory, byteCount: range.count, offset: range.lowerBound - first)
    }
}

/// Which of several reads failed; each is written by the one thread that did it.
private final class ReadFailures: @unchecked Sendable {
    private let flags: UnsafeMutableBufferPointer<Bool>

    init(count: Int) {
        flags = .allocate(capacity: max(count, 1))
        flags.initialize(repeating: false)
    }

    deinit { flags.deallocate() }

    func record(_ index: Int) { flags[index] = true }
    var any: Bool { flags.contains(true) }
}
