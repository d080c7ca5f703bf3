//  What names a model's weights: a hash of its configuration and of samples of its weight files.
//
//  Reading all of a large model would take longer than starting to serve it. Headers are read whole
//  and data at every fourth mebibyte; two models that were trained differ in all of it.

import DualityCore
import Foundation

/// A name of the weights in a directory.
package struct WeightIdentity: Sendable, Equatable {
    /// Sixteen hexadecimal digits.
    package let text: String

    /// - Throws: `InputError` when a file cannot be read.
    /// - Complexity: O(bytes / 1024).
    package init(directory: String) throws {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        func take(_ bytes: UnsafeRawBufferPointer) {
            for byte in bytes { hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01b3 }
        }
        let names = try FileManager.default.contentsOfDirectory(atPath: directory).sorted()
        for name in names where name == "config.json" || name.hasSuffix(".safetensors") {
            let file = try MappedFile(path: "\(directory)/\(name)")
            Array(name.utf8).withUnsafeBytes(take)
            file.withBytes { bytes in
                withUnsafeBytes(of: UInt64(bytes.count).littleEndian, take)
                take(UnsafeRawBufferPointer(rebasing: bytes[..<min(bytes.count, 1 << 16)]))
                for start in stride(from: 1 << 16, to: bytes.count, by: 4 << 20) {
                    take(UnsafeRawBufferPointer(rebasing: bytes[start..<min(bytes.count, start + 4096)]))
                }
            }
        }
        let digits = String(hash, radix: 16)
        text = String(repeating: "0", count: 16 - digits.count) + digits
    }
}

/// The version that the server reports.
package enum ServerVersion {
    package static let text = "0.1.0"
}
