//  A checkpoint held against the contract: everything that is wrong at once, with the likely typo.

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

extension WeightContract {
    /// One way in which a checkpoint breaks the contract.
    public enum Violation: Sendable, Equatable {
        /// A required tensor is not there; `similar` is an unused tensor that it may be.
        case missing(String, shape: [Int], similar: String?)
        /// A tensor that the configuration has no use for.
        case extra(String, shape: [Int])
        /// A tensor of another shape than the configuration asks for.
        case shape(String, expected: [Int], found: [Int])
        /// A tensor of a format that no weight has.
        case dtype(String, found: DType)
        /// The model ties its head to the embedding, and the file holds another head.
        case untiedHead
        /// A weight that is NaN or infinite; `index` is the first such.
        case notFinite(String, index: [Int], value: Float)

        /// The tensor it is about.
        public var tensor: String {
            switch self {
            case .missing(let name, _, _), .extra(let name, _), .shape(let name, _, _), .dtype(let name, _),
                .notFinite(let name, _, _):
                name
            case .untiedHead: "lm_head.weight"
            }
        }

        /// Whether the model cannot be used; what nothing uses only deserves a warning.
        public var isError: Bool {
            if case .extra = self { false } else { true }
        }

        /// The kind of the error that `check` throws when this violation comes first.
        public var kind: InputError.Kind {
            switch self {
            case .missing: .missing
            case .extra: .unknown
            case .shape: .shape
            case .dtype: .dtype
            case .untiedHead: .value
            case .notFinite: .notFinite
            }
        }
    }

    /// All violations, in the order of the model; extra tensors last.
    ///
    /// A tied model may carry `lm_head.weight` all the same (several published Qwen3 checkpoints
    /// do) as long as its bytes are those of the embedding. When they differ, versions of the
    /// official loader disagree on which one counts, so that is a violation. Stored rotary tables
    /// (`rotary_emb.inv_freq`) are ignored, as by the official loader.
    ///
    /// - Complexity: O(tensors), plus a comparison of the two matrices in the tied case.
    public func violations(of source: some TensorSource) throws -> [Violation] {
        let required = Set(requirements.map(\.name))
        var unused = source.names.filter { !required.contains($0) && !$0.hasSuffix("rotary_emb.inv_freq") }
        var violations: [Violation] = []

        if configuration.tiedEmbeddings, let position = unused.firstIndex(of: "lm_head.weight") {
            unused.remove(at: position)
            if try !hasSameBytes("lm_head.weight", embeddingName, in: source) {
                violations.append(.untiedHead)
            }
        }
        for requirement in requirements {
            guard let info = source.find(requirement.name) else {
                let similar = similarName(to: requirement.name, in: unused)
                violations.append(.missing(requirement.name, shape: requirement.shape, similar: similar))
                continue
            }
            if info.shape != requirement.shape {
                violations.append(.shape(info.name, expected: requirement.shape, found: info.shape))
            }
            if !Self.dtypes.contains(info.dtype) { violations.append(.dtype(info.name, found: info.dtype)) }
        }
        for name in unused { violations.append(.extra(name, shape: source.find(name)?.shape ?? [])) }
        return violations
    }

    /// Every required tensor that holds a NaN or an infinity, with the first place where.
    ///
    /// - Complexity: reads all weights once, at about the speed of memory.
    public func nonFiniteWeights(of source: some TensorSource) throws -> [Violation] {
        var violations: [Violation] = []
        for requirement in requirements {
            guard let info = source.find(requirement.name), let offset = try source.firstNonFinite(of: info.name) else {
                continue
            }
            let value = try source.element(of: info.name, at: offset)
            violations.append(.notFinite(info.name, index: fullIndex(ofElement: offset, in: info.shape), value: value))
        }
        return violations
    }

    /// Holds a checkpoint against the contract.
    ///
    /// - Parameter finite: also require every weight to be a finite number, which reads them all.
    /// - Throws: one `InputError` that lists every violation.
    public func check(_ source: some TensorSource, finite: Bool = false) throws {
        var violations = try violations(of: source).filter(\.isError)
        if finite && violations.isEmpty { violations = try nonFiniteWeights(of: source) }
        guard let first = violations.first else { return }
        let listed = violations.prefix(Self.listLimit).map { "\n  \($0)" }.joined()
        let rest = violations.count > Self.listLimit ? "\n  and \(violations.count - Self.listLimit) more" : ""
        throw InputError(
            first.kind, in: source.place, expected: "the \(requirements.count) tensors of the configuration",
            found: "\(violations.count) \(violations.count == 1 ? "violation" : "violations"):\(listed)\(rest)",
            remedy: remedy(violations, in: source))
    }

    /// A glance; `duality inspect` lists all.
    private static let listLimit = 10

    /// One sentence for a mistake that explains many violations.
    private func remedy(_ violations: [Violation], in source: some TensorSource) -> String {
        if violations.contains(where: { if case .notFinite = $0 { true } else { false } }) {
            return "Allow numbers that are not finite if that is meant."
        }
        if violations.count == 1, case .missing("lm_head.weight", _, _)? = violations.first {
            return
                "This is a base model, without a head to predict tokens with: load and save it with AutoModelForCausalLM."
        }
        return violations.contains(.untiedHead) ? "Set tie_word_embeddings to the one that is meant." : ""
    }

    private func similarName(to name: String, in unused: [String]) -> String? {
        // A layer's tensor is never a typo of another layer's: only one spelling of the number is
        // considered.
        let layer = name.split(separator: ".").first { $0.allSatisfy(\.isNumber) }
        return nearestName(
            to: name, in: unused.filter { $0.split(separator: ".").first { $0.allSatisfy(\.isNumber) } == layer })
    }

    private func hasSameBytes(_ first: String, _ second: String, in source: some TensorSource) throws -> Bool {
        guard let a = source.find(first), let b = source.find(second) else { return true }  // reported as missing
        guard a.dtype == b.dtype, a.shape == b.shape else { return false }
        return try source.withBytes(of: first) { a in
            try source.withBytes(of: second) { b in
                guard let a = a.baseAddress, let start = b.baseAddress else { return true }
                return memcmp(a, start, b.count) == 0
            }
        }
    }
}

extension WeightContract.Violation: CustomStringConvertible {
    public var description: String {
        switch self {
        case .missing(let name, let shape, let similar):
            let hint = similar.map { "; is it \($0), which nothing uses?" } ?? ""
            return "\(name): missing, \(shape) is required\(hint)"
        case .extra(let name, let shape): return "\(name): \(shape), not used by this configuration"
        case .shape(let name, let expected, let found): return "\(name): expected shape \(expected), found \(found)"
        case .dtype(let name, let found):
            let expected = WeightContract.dtypes.map(\.rawValue).joined(separator: ", ")
            return "\(name): expected one of \(expected), found \(found.rawValue)"
        case .untiedHead:
            return "lm_head.weight: expected the embedding's own numbers (the model is tied), found others"
        case .notFinite(let name, let index, let value):
            return "\(name): expected finite numbers, found \(value) at \(index)"
        }
    }
}
