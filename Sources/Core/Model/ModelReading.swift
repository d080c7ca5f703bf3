//  What a person asks for against the word of a configuration.

/// Changes to what a config.json says, each with the warning that goes with it.
public struct ModelReading: Sendable, Equatable {
    /// The most tokens of a sequence.
    public var context: Int?
    /// Whether the gated norm of a plain Mamba-2 model has a group for each group of B and C, as
    /// mamba_ssm trains it, or one over the whole width, as Mamba2ForCausalLM of transformers
    /// computes it; nil for what the family's own loader does.
    public var normGroups: Bool?

    /// No changes but those given; `applied(to:)` checks them.
    public init(context: Int? = nil, normGroups: Bool? = nil) {
        self.context = context
        self.normGroups = normGroups
    }

    /// - Throws: `InputError` (`.value`) for what the model has no place for.
    public func applied(to original: HybridConfiguration) throws(InputError) -> HybridConfiguration {
        var configuration = original
        if let context {
            guard context >= 1 else {
                throw InputError(.value, in: "--context", expected: "at least 1 token", found: "\(context)")
            }
            configuration.contextOverride = context
            let limit = original.configuredContextLength
            if context > limit, original.plainMamba2 == nil {
                configuration.warnings.append(
                    "The configuration's context is \(limit) tokens; \(context) are allowed as asked, and what the model makes of them is open."
                )
            }
        }
        if let normGroups {
            guard let plain = original.plainMamba2 else {
                throw InputError(
                    .value, in: "--norm-groups", expected: "a plain Mamba-2 model, which has one gated norm a layer",
                    found: "a hybrid", remedy: "Leave it out.")
            }
            configuration.plainMamba2?.gatedNormGroup = original.innerSize / (normGroups ? plain.groups : 1)
            configuration.warnings.removeAll { $0.contains("--norm-groups") }
        }
        return configuration
    }
}
