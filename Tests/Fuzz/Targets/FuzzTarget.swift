//  What is fed with any bytes: each reader of something that comes from outside.
//
//  A target may return or throw. A trap, a read out of bounds or a run over ten seconds is a fault.

import DualityCore

/// A reader under test.
package enum FuzzTarget: String, CaseIterable, Sendable {
    case json
    case safetensors
    case index
    case npy
    case npz
    case config
    case generation
    case tokenizer
    case vocabulary
    case ranks
    case chat
    case request
    case template
    case schema
    case pattern
    case answer
    case packed
    case cache
    case manifest
    case dump
    case options

    /// Reads the bytes as a file, request or text of this kind, and uses what was read.
    ///
    /// - Throws: what the reader throws. Anything else that happens is a fault.
    package func run(_ bytes: [UInt8], in folder: FuzzFolder) throws {
        switch self {
        case .json: try readJSON(bytes)
        case .safetensors: try readTensors(folder.write(bytes, "model.safetensors"))
        case .index: try readIndex(bytes, folder)
        case .npy: try readTensors(folder.write(bytes, "array.npy"))
        case .npz: try readTensors(folder.write(bytes, "arrays.npz"))
        case .config: try readConfiguration(bytes)
        case .generation: try readGenerationDefaults(bytes, folder)
        case .tokenizer: try readTokenizer(folder.write(bytes, "tokenizer.json"))
        case .vocabulary: try readVocabulary(bytes, folder)
        case .ranks: try readTokenizer(folder.write(bytes, "own.tiktoken"))
        case .chat: try readChat(bytes)
        case .request: try readRequest(bytes)
        case .template: try readTemplate(bytes)
        case .schema:
            try compile(bytes) {
                .schema(try $0.withUnsafeBytes { try JSON(parsing: $0, place: "schema") }, place: "schema")
            }
        case .pattern: try compile(bytes) { .regex(String(decoding: $0, as: UTF8.self), place: "pattern") }
        case .answer: readAnswer(bytes)
        case .packed: try readPacked(bytes, folder)
        case .cache: try readCache(bytes, folder)
        case .manifest: try readManifest(bytes, folder)
        case .dump: try readDump(bytes, folder)
        case .options: readOptions(bytes)
        }
    }

    /// Runs, and takes an error for an answer.
    package func survives(_ bytes: [UInt8], in folder: FuzzFolder) {
        do { try run(bytes, in: folder) } catch {}
    }
}
