//  A folder of one process, in memory where the system has such a place.

import DualityCore
import DualityQuant
import Foundation
import TestSupport

/// Where inputs that are files are put, beside what they need to be read.
package final class FuzzFolder: Sendable {
    package let path: String
    /// The model that packed files and caches belong to.
    let configuration: HybridConfiguration

    /// Makes the folder, with the configuration, index shards and tensors that the inputs go with.
    package init() throws {
        let shared = "/dev/shm"
        let base = FileManager.default.isWritableFile(atPath: shared) ? shared : NSTemporaryDirectory()
        path = "\(base)/duality-fuzz-\(ProcessInfo.processInfo.processIdentifier)-\(UInt32.random(in: 0 ... .max))"
        configuration = try HybridConfiguration(json: JSON(parsing: FuzzSeeds.configuration), place: "config.json")
        for name in ["", "/model", "/packed", "/suite"] {
            try FileManager.default.createDirectory(atPath: path + name, withIntermediateDirectories: true)
        }
        for folder in ["model", "packed"] {
            _ = try write(Array(FuzzSeeds.configuration.utf8), "\(folder)/config.json")
        }
        _ = try write(Array(#"{"tokenizer_class": "Qwen2Tokenizer"}"#.utf8), "suite/tokenizer_config.json")
        for shard in 1...2 {
            var file = SafetensorsWriter()
            try file.add("tensor\(shard)", Tensor<Float>(shape: [2], elements: [1, 2]))
            try file.write(to: "\(path)/model/model-0000\(shard)-of-00002.safetensors")
        }
        try FuzzSeeds.dump().write(to: "\(path)/suite/case.safetensors")
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    /// Writes an input, in place of the one before.
    ///
    /// - Returns: the path of the file.
    package func write(_ bytes: [UInt8], _ name: String) throws -> String {
        let file = "\(path)/\(name)"
        guard FileManager.default.createFile(atPath: file, contents: Data(bytes)) else {
            throw InputError(.inaccessibleFile, in: file, expected: "a place for the input", found: "none")
        }
        return file
    }
}
