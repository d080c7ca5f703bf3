//  What the files of a model's directory are called, and what to say of a directory that holds
//  something else than a checkpoint.

/// The names of the files in a directory, as weights.
struct WeightFileNames {
    let names: [String]

    init(_ directory: ModelDirectory) {
        names = directory.names
    }

    /// The shards `NAME-00001-of-00003.safetensors` of one set, in order; nil when there is no such
    /// set or more than one.
    ///
    /// - Returns: the files, and the numbers of those that are not there.
    func numberedShards() -> (files: [String], absent: [String])? {
        var sets: [String: [Int: String]] = [:]
        for name in names {
            guard let match = name.wholeMatch(of: /(.+)-(\d{5})-of-(\d{5})\.safetensors/), let number = Int(match.2)
            else { continue }
            sets["\(match.1)|\(match.3)", default: [:]][number] = name
        }
        guard sets.count == 1, let (key, shards) = sets.first, let count = Int(key.suffix(5)) else { return nil }
        let stem = key.dropLast(6)
        func name(_ number: Int) -> String {
            let digits = String(number)
            return "\(stem)-\(String(repeating: "0", count: 5 - digits.count))\(digits)-of-\(key.suffix(5)).safetensors"
        }
        guard (1...99_999).contains(count), shards.keys.allSatisfy({ 1...count ~= $0 }) else { return nil }
        return ((1...count).compactMap { shards[$0] }, (1...count).filter { shards[$0] == nil }.prefix(10).map(name))
    }

    private func first(_ suffixes: String...) -> String? {
        names.first { name in suffixes.contains { name.hasSuffix($0) } }
    }

    /// What the directory holds instead of a checkpoint, and the way out; nil when nothing is
    /// known.
    ///
    /// - Parameter baseOf: the model that an adapter is for, by its configuration.
    func somethingElse(baseOf: () -> String?) -> (found: String, remedy: String)? {
        if names.contains("adapter_config.json") || names.contains("adapter_model.safetensors") {
            let base = baseOf().map { " of \($0)" } ?? ""
            return (
                "a LoRA adapter\(base) without its model",
                "Merge it first, with PeftModel.from_pretrained(…).merge_and_unload() in Python, and save the whole model."
            )
        }
        if let file = first(".gguf") {
            return ("a GGUF file, \(file)", "GGUF is not read: take the original checkpoint in safetensors.")
        }
        if let file = first(".bin", ".pt", ".pth", ".ckpt") {
            return (
                "only \(file), a Python pickle",
                "Convert the weights to safetensors first: AutoModelForCausalLM.from_pretrained(DIR).save_pretrained(OUT) in transformers."
            )
        }
        if let file = first(".npz", ".h5", ".msgpack", ".onnx") {
            return ("only \(file)", "Take the checkpoint in safetensors.")
        }
        return nil
    }
}
