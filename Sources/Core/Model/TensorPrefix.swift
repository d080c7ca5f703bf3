//  The one prefix that the names of a checkpoint have beside the ones they should have.
//
//  Tools put something in front of every name (`_orig_mod.` torch.compile, `module.` distributed
//  training, `base_model.model.` adapters, `model.language_model.` models that also see), and a
//  base model that is saved alone lacks `model.`. The prefix is found once, from the name that one
//  tensor of the first layer ends with, and all names are read without it.

/// What a checkpoint calls the tensors of a contract.
struct TensorPrefix {
    /// The checkpoint's name of every tensor that is called otherwise.
    private(set) var originals: [String: String] = [:]
    /// A sentence about it; nil when names are what they should be.
    private(set) var note: String?

    init(_ names: [String], _ contract: WeightContract) {
        let trunk = contract.embeddingName.hasPrefix("backbone.") ? "backbone." : "model."
        let present = Set(names)
        let inTrunk = contract.requirements.map(\.name).filter { $0.hasPrefix(trunk) }
        let rests = inTrunk.map { String($0.dropFirst(trunk.count)) }
        guard !inTrunk.contains(where: present.contains),
            let anchor = zip(contract.requirements, contract.requirements.map(\.name)).first(where: {
                $0.0.layer == 0 && $0.1.hasPrefix(trunk)
            })?.1.dropFirst(trunk.count)
        else { return }

        let prefixes = names.filter { $0 == anchor || $0.hasSuffix(".\(anchor)") }.map {
            String($0.dropLast(anchor.count))
        }
        func found(_ prefix: String) -> Int { rests.count { present.contains(prefix + $0) } }
        guard let prefix = prefixes.max(by: { found($0) < found($1) }) else { return }
        for (name, rest) in zip(inTrunk, rests) where present.contains(prefix + rest) {
            originals[name] = prefix + rest
        }
        for name in contract.requirements.map(\.name) + ["lm_head.weight"] where !name.hasPrefix(trunk) {
            // The head stands beside the trunk, or in it.
            if let other = Self.ancestors(of: prefix).map({ $0 + name }).first(where: { present.contains($0) }),
                other != name
            {
                originals[name] = other
            }
        }
        note = Self.note(prefix, trunk: trunk)
    }

    /// `a.b.` gives `a.b.`, `a.` and nothing.
    private static func ancestors(of prefix: String) -> [String] {
        var parts = prefix.split(separator: ".")
        var ancestors: [String] = []
        while true {
            ancestors.append(parts.map { "\($0)." }.joined())
            if parts.popLast() == nil { return ancestors }
        }
    }

    private static func note(_ prefix: String, trunk: String) -> String {
        guard !prefix.isEmpty else {
            return
                "The tensor names lack \"\(trunk)\", as those of a base model that is saved alone; they are read as if it were there."
        }
        let extra = prefix.hasSuffix(trunk) ? String(prefix.dropLast(trunk.count)) : prefix
        let makers = [
            "_orig_mod.": "torch.compile", "module.": "distributed training", "base_model.model.": "a PEFT adapter",
            "model.language_model.": "a model that also sees",
        ]
        let maker = makers[extra].map { " (from \($0))" } ?? ""
        return "The tensor names begin with \"\(extra)\"\(maker); it is taken off."
    }
}
