//  What a file is by its first bytes, whatever its name says.
//
//      safetensors   8 bytes n (little-endian), then '{'; n fits into the file
//      NumPy         \x93NUMPY                     zip (also .npz, torch.save)   PK\x03\x04 or PK\x05\x06
//      GGUF          GGUF                          pickle (torch.save before 1.6)   \x80, 2 to 5
//      Git LFS       version https://git-lfs       gzip   \x1f\x8b      zstd   \x28\xb5\x2f\xfd      HDF5   \x89HDF
//      HTML          <!doctype html or <html, after white space
//
//  A download that went wrong, or a file of another program, is told apart from one that is broken.

/// The kind of a file.
package enum FileKind: String, Sendable, Equatable {
    /// Named after what the first bytes are those of; `unknown` where they are nobody's.
    case safetensors, numpyArray, zip, gguf, pickle, gitLFSPointer, gzip, zstd, hdf5, html, json, empty, unknown

    /// Looks at the first bytes.
    ///
    /// - Parameters:
    ///   - bytes: the file from its start; a few hundred of them do.
    ///   - size: bytes in the whole file, where `bytes` is only its start.
    package init(_ bytes: UnsafeRawBufferPointer, size: Int? = nil) {
        func begins(_ prefix: [UInt8]) -> Bool { bytes.starts(with: prefix) }
        func says(_ text: String) -> Bool { begins(Array(text.utf8)) }
        let size = size ?? bytes.count
        if bytes.isEmpty {
            self = .empty
        } else if bytes.count > 8, bytes[8] == UInt8(ascii: "{"),
            UInt64(littleEndian: bytes.loadUnaligned(as: UInt64.self)) <= UInt64(max(size - 8, 0))
        {
            self = .safetensors
        } else if begins([0x93]) && bytes.dropFirst().starts(with: Array("NUMPY".utf8)) {
            self = .numpyArray
        } else if says("PK\u{3}\u{4}") || says("PK\u{5}\u{6}") {
            self = .zip
        } else if says("GGUF") {
            self = .gguf
        } else if says("version https://git-lfs") {
            self = .gitLFSPointer
        } else if begins([0x1f, 0x8b]) {
            self = .gzip
        } else if begins([0x28, 0xb5, 0x2f, 0xfd]) {
            self = .zstd
        } else if begins([0x89, 0x48, 0x44, 0x46]) {
            self = .hdf5
        } else if bytes.count > 1, bytes[0] == 0x80, 2...5 ~= bytes[1] {
            self = .pickle
        } else {
            self = Self.text(bytes)
        }
    }

    /// Looks at the first bytes of a file.
    ///
    /// - Throws: `InputError` when it cannot be read.
    package init(path: String) throws(InputError) {
        self = try MappedFile(path: path).withBytes { FileKind($0) }
    }

    private static func text(_ bytes: UnsafeRawBufferPointer) -> FileKind {
        let mark: [UInt8] = [0xef, 0xbb, 0xbf]
        let start = bytes.starts(with: mark) ? mark.count : 0
        let text = bytes[start...].prefix(512).drop { [0x20, 0x09, 0x0a, 0x0d].contains($0) }
        let lower = text.prefix(14).map { 65...90 ~= $0 ? $0 + 32 : $0 }
        if lower.starts(with: Array("<!doctype html".utf8)) || lower.starts(with: Array("<html".utf8)) { return .html }
        return text.first == UInt8(ascii: "{") || text.first == UInt8(ascii: "[") ? .json : .unknown
    }

    /// What it is, in words: "a NumPy archive".
    package var words: String {
        switch self {
        case .safetensors: "a safetensors file"
        case .numpyArray: "a NumPy array (.npy)"
        case .zip: "a zip archive, as numpy.savez and torch.save write them"
        case .gguf: "a GGUF file, as llama.cpp has them"
        case .pickle: "a Python pickle, as torch.save wrote them"
        case .gitLFSPointer: "a Git LFS pointer, a text of some lines that stands for the file"
        case .gzip: "a gzip file"
        case .zstd: "a zstd file"
        case .hdf5: "an HDF5 file"
        case .html: "an HTML page, as a failed download leaves one"
        case .json: "a JSON text"
        case .empty: "an empty file"
        case .unknown: "a file of another kind"
        }
    }

    /// What to do with a file of this kind where a safetensors file is wanted; empty where nothing
    /// is known to help.
    var remedy: String {
        switch self {
        case .gitLFSPointer:
            "The file itself was not downloaded: run git lfs install and git lfs pull in that checkout, or download it."
        case .html: "Download the file again; the address may ask for a login."
        case .gguf: "Take the original checkpoint in safetensors; this format is not read."
        case .pickle, .zip:
            "If it is a checkpoint of torch.save, load it in Python and write it with safetensors.torch.save_file. "
                + "If it is a NumPy archive: duality verify and duality ssd read .npz and .npy."
        case .numpyArray: "duality verify and duality ssd read .npz and .npy."
        case .gzip: "Unpack it with gunzip first."
        case .zstd: "Unpack it with zstd -d first."
        case .hdf5: "Read it with h5py and write the arrays with safetensors.numpy.save_file or numpy.savez."
        case .empty: "Write or download it again."
        case .safetensors, .json, .unknown: ""
        }
    }

    /// The complaint that a file is of this kind; nil for a kind that says nothing.
    ///
    /// - Parameters:
    ///   - path: the file.
    ///   - expected: what it should be.
    package func refusal(of path: String, expected: String = "a safetensors file") -> InputError? {
        switch self {
        case .safetensors, .json, .unknown, .empty: nil
        default: InputError(.malformed, in: path, expected: expected, found: words, remedy: remedy)
        }
    }
}
