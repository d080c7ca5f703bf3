//  Filters of lists and dictionaries.

extension JinjaFilters {
    static let collections: [String: Filter] = [
        "length": length, "count": length,
        "items": { run, value, _ in
            switch value {
            case .dictionary(let dictionary): return try run.sequence(run.pairs(dictionary), .generator)
            case .undefined: return try run.sequence([], .generator)
            default: throw run.fail("Can only get item pairs from a mapping.")
            }
        },
        "dictsort": { run, value, arguments in
            let values = try arguments.bound(to: "case_sensitive", "by", "reverse", by: "dictsort")
            guard case .dictionary(let dictionary) = value else { throw run.fail("dictsort takes a mapping") }
            let by = try run.textArgument(values[1])?.string ?? "key"
            guard by == "key" || by == "value" else {
                throw run.fail("You can only sort by either \"key\" or \"value\"")
            }
            let pairs = Array(zip(dictionary.keys, try run.pairs(dictionary)).enumerated())
            let isSensitive = values[0]?.isTrue ?? false
            let isReversed = values[2]?.isTrue ?? false
            let sorted = try run.sorted(isReversed ? pairs.reversed() : pairs) { index, pair in
                let key = by == "key" ? pair.0 : dictionary.values[index]
                return isSensitive ? key : try run.foldedCase(key)
            }
            return try run.sequence((isReversed ? sorted.reversed() : sorted).map(\.element.1))
        },
        "list": { run, value, _ in try run.sequence(run.iterate(value)) },
        "first": { run, value, _ in
            if case .sequence(let sequence) = value {
                return sequence.takeFirst() ?? .undefined("No first item, sequence was empty.")
            }
            return try run.iterate(value).first ?? .undefined("No first item, sequence was empty.")
        },
        "last": { run, value, _ in
            if case .sequence(let sequence) = value, sequence.kind == .generator {
                throw run.fail("'generator' object is not reversible")
            }
            return try run.iterate(value).last ?? .undefined("No last item, sequence was empty.")
        },
        "reverse": { run, value, _ in
            if case .text(let text) = value {
                var result = JinjaText()
                for range in text.characterRanges.reversed() { result.append(text, range) }
                return try run.text(result)
            }
            return try run.sequence(run.iterate(value).reversed(), .generator)
        },
        "join": { run, value, arguments in
            let values = try arguments.bound(to: "d", "attribute", by: "join")
            let separator = try values[0].map { try run.string($0) } ?? JinjaText()
            var result = JinjaText()
            for (index, item) in try run.iterate(value).enumerated() {
                let part = try run.string(run.picked(item, values[1]))
                try run.willMake(bytes: part.bytes.count + separator.bytes.count)
                if index > 0 { result.append(separator) }
                result.append(part)
            }
            result.isMarkup = false
            return .text(result)
        },
        "sort": { run, value, arguments in
            let values = try arguments.bound(to: "reverse", "case_sensitive", "attribute", by: "sort")
            let isSensitive = values[1]?.isTrue ?? false
            let items = try run.iterate(value)
            let isReversed = values[0]?.isTrue ?? false
            let sorted = try run.sorted(isReversed ? items.reversed() : items) { item in
                let key = try run.pickedAll(item, values[2])
                return isSensitive ? key : try run.foldedCase(key)
            }
            return try run.sequence(isReversed ? sorted.reversed() : sorted)
        },
        "unique": { run, value, arguments in
            let values = try arguments.bound(to: "case_sensitive", "attribute", by: "unique")
            let isSensitive = values[0]?.isTrue ?? false
            var seen: Set<JinjaKey> = []
            let items = try run.iterate(value).filter { item in
                let picked = try run.picked(item, values[1])
                guard let key = JinjaKey(isSensitive ? picked : try run.foldedCase(picked)) else {
                    throw run.fail("unhashable type: '\(picked.typeName)'")
                }
                return seen.insert(key).inserted
            }
            return try run.sequence(items, .generator)
        },
        "min": extreme { $0 < 0 }, "max": extreme { $0 > 0 },
    ]

    static let sequences: [String: Filter] = [
        "batch": { run, value, arguments in
            let values = try arguments.bound(to: "linecount", "fill_with", by: "batch")
            let width = try run.integerArgument(values[0] ?? .int(0))
            var rows: [JinjaValue] = []
            var row: [JinjaValue] = []
            for item in try run.iterate(value) {
                if row.count == width {
                    rows.append(try run.sequence(row))
                    row = []
                }
                row.append(item)
            }
            if !row.isEmpty {
                if let fill = values[1], row.count < width {
                    try run.willMake(items: width)
                    if case .none = fill {} else { row += Array(repeating: fill, count: width - row.count) }
                }
                rows.append(try run.sequence(row))
            }
            return try run.sequence(rows, .generator)
        },
        "slice": { run, value, arguments in
            let values = try arguments.bound(to: "slices", "fill_with", by: "slice")
            let count = try run.integerArgument(values[0] ?? .int(0))
            guard count > 0 else { throw run.fail("integer division or modulo by zero") }
            try run.willMake(items: count)
            let items = try run.iterate(value)
            var rows: [JinjaValue] = []
            var start = 0
            for index in 0..<count {
                let isLong = index < items.count % count
                let end = start + items.count / count + (isLong ? 1 : 0)
                var row = Array(items[start..<end])
                if let fill = values[1], !isLong { if case .none = fill {} else { row.append(fill) } }
                rows.append(try run.sequence(row))
                start = end
            }
            return try run.sequence(rows, .generator)
        },
        "groupby": { run, value, arguments in
            let values = try arguments.bound(to: "attribute", "default", "case_sensitive", by: "groupby")
            let isSensitive = values[2]?.isTrue ?? false
            func key(_ item: JinjaValue) throws -> JinjaValue {
                let picked = try run.picked(item, values[0], absent: values[1])
                return isSensitive ? picked : try run.foldedCase(picked)
            }
            var groups: [(key: JinjaValue, items: [JinjaValue])] = []
            for item in try run.sorted(run.iterate(value), by: key) {
                let itemKey = try key(item)
                if let last = groups.last, try run.isEqual(last.key, itemKey) {
                    groups[groups.count - 1].items.append(item)
                } else {
                    groups.append((itemKey, [item]))
                }
            }
            return try run.sequence(
                groups.map { group in
                    let label = try run.picked(group.items[0], values[0], absent: values[1])
                    return try run.sequence([label, run.sequence(group.items)], .tuple)
                })
        },
    ]

    private static let length: Filter = { run, value, _ in
        switch value {
        case .text(let text): return .int(text.count)
        case .sequence(let sequence) where sequence.hasLength: return .int(sequence.items.count)
        case .dictionary(let dictionary): return .int(dictionary.count)
        case .undefined: return .int(0)
        case .loop(let loop): return .int(loop.count)
        default: throw run.fail("object of type '\(value.typeName)' has no len()")
        }
    }

    private static func extreme(_ isBetter: @escaping @Sendable (Int) -> Bool) -> Filter {
        { run, value, arguments in
            let values = try arguments.bound(to: "case_sensitive", "attribute", by: "min and max")
            let isSensitive = values[0]?.isTrue ?? false
            var best: (item: JinjaValue, key: JinjaValue)?
            for item in try run.iterate(value) {
                let picked = try run.picked(item, values[1])
                let key = isSensitive ? picked : try run.foldedCase(picked)
                guard let current = best else {
                    best = (item, key)
                    continue
                }
                guard let order = try run.order(key, current.key) else {
                    throw run.fail("'<' not supported between '\(key.typeName)' and '\(current.key.typeName)'")
                }
                if isBetter(order) { best = (item, key) }
            }
            return best?.item ?? .undefined("No aggregated item, sequence was empty.")
        }
    }

    // MARK: Choosing

    static let choices: [String: Filter] = [
        "default": absent, "d": absent,
        "attr": { run, value, arguments in
            let name = try run.onlyText(arguments, "attr").string
            if case .dictionary = value {
                return .undefined("'dict object' has no attribute '\(name)'")
            }
            return try run.attribute(name, of: value)
        },
        "map": { run, value, arguments in
            let items = value.isTrue ? try run.iterate(value) : []
            if let attribute = arguments.named.first(where: { $0.name == "attribute" }), arguments.positional.isEmpty {
                let absent = arguments.named.first { $0.name == "default" }?.value
                return try run.sequence(items.map { try run.picked($0, attribute.value, absent: absent) }, .generator)
            }
            guard case .text(let name)? = arguments.positional.first else {
                throw run.fail("map requires a filter argument")
            }
            let rest = JinjaArguments(positional: Array(arguments.positional.dropFirst()), named: arguments.named)
            return try run.sequence(items.map { try run.filter(name.string, $0, rest) }, .generator)
        },
        "select": choose(picks: true, byAttribute: false), "reject": choose(picks: false, byAttribute: false),
        "selectattr": choose(picks: true, byAttribute: true), "rejectattr": choose(picks: false, byAttribute: true),
    ]

    private static let absent: Filter = { run, value, arguments in
        let values = try arguments.bound(to: "default_value", "boolean", by: "default")
        let isAbsent = value.isUndefined || (values[1]?.isTrue ?? false && !value.isTrue)
        return isAbsent ? values[0] ?? .string("") : value
    }

    private static func choose(picks: Bool, byAttribute: Bool) -> Filter {
        { run, value, arguments in
            var rest = arguments.positional[...]
            let attribute = byAttribute ? rest.popFirst() : nil
            if byAttribute, attribute == nil { throw run.fail("Missing parameter for attribute name") }
            let test: String?
            if let name = rest.popFirst() {
                guard case .text(let text) = name else { throw run.fail("No test named \(try run.repr(name).string)") }
                test = text.string
            } else {
                test = nil
            }
            let testArguments = JinjaArguments(positional: Array(rest), named: arguments.named)
            // What is false is empty, whatever it is.
            let chosen = try (value.isTrue ? run.iterate(value) : []).filter { item in
                let tested = try run.picked(item, attribute)
                let holds = try test.map { try run.test($0, tested, testArguments) } ?? tested.isTrue
                return holds == picks
            }
            return try run.sequence(chosen, .generator)
        }
    }
}

extension JinjaRun {
    /// The value at a path of attributes, `a.b.0`; the item itself without one.
    func picked(_ item: JinjaValue, _ attribute: JinjaValue?, absent: JinjaValue? = nil) throws -> JinjaValue {
        guard let attribute else { return item }
        if case .none = attribute { return item }
        if let index = attribute.integer { return try self.item(.int(index), of: item) }
        guard let path = try textArgument(attribute)?.string else { return item }
        var value = item
        for part in path.split(separator: ".", omittingEmptySubsequences: false) {
            let key = part.utf8.allSatisfy { 48...57 ~= $0 } ? Int(part).map(JinjaValue.int) : nil
            value = try self.item(key ?? .string(String(part)), of: value)
            if value.isUndefined, let absent { value = absent }
        }
        return value
    }

    /// The values at several paths that are separated by commas, as a tuple.
    fileprivate func pickedAll(_ item: JinjaValue, _ attribute: JinjaValue?) throws -> JinjaValue {
        guard case .text(let paths)? = attribute, paths.string.contains(",") else { return try picked(item, attribute) }
        return try sequence(
            paths.string.split(separator: ",", omittingEmptySubsequences: false).map {
                try picked(item, .string(String($0)))
            }, .tuple)
    }

    /// A string in lower case; anything else as it is.
    fileprivate func foldedCase(_ value: JinjaValue) throws -> JinjaValue {
        guard case .text(let text) = value else { return value }
        return try self.text(JinjaText(text.string.lowercased()))
    }
}
