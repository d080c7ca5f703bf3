//  Attributes, items and slices, as Jinja's sandbox reads them: `a.b` is an attribute or else an
//  item, `a['b']` an item or else an attribute, and what is not there is undefined.

extension JinjaRun {
    func attribute(_ name: String, of object: JinjaValue) throws -> JinjaValue {
        if case .undefined(let message) = object { throw fail(message) }
        if let value = try ownAttribute(name, of: object) { return value }
        if case .dictionary(let dictionary) = object, let value = dictionary[name] { return value }
        return .undefined("'\(objectName(object))' has no attribute '\(name)'")
    }

    func item(_ key: JinjaValue, of object: JinjaValue) throws -> JinjaValue {
        switch object {
        case .undefined(let message): throw fail(message)
        case .dictionary(let dictionary):
            if let value = dictionary[key] { return value }
        case .sequence(let sequence) where sequence.isIndexed:
            if let index = key.integer {
                let position = index < 0 ? index + sequence.items.count : index
                if sequence.items.indices.contains(position) { return sequence.items[position] }
            }
        case .text(let text):
            if let index = key.integer {
                try looked(at: text.bytes.count)
                let count = text.count
                let position = index < 0 ? index + count : index
                if 0..<count ~= position {
                    let start = text.offset(position)
                    return .text(text[start..<text.offset(1, from: start)])
                }
            }
        default: break
        }
        if case .text(let name) = key, let value = try ownAttribute(name.string, of: object) { return value }
        let written = try repr(key).string
        return .undefined("'\(objectName(object))' has no element \(written)")
    }

    private func objectName(_ object: JinjaValue) -> String {
        if case .none = object { return "None" }
        return "\(object.typeName) object"
    }

    /// What Python's `getattr` finds; nil when there is nothing by that name.
    private func ownAttribute(_ name: String, of object: JinjaValue) throws -> JinjaValue? {
        switch object {
        case .text(let text):
            guard let method = JinjaStringMethods.all[name] else { return nil }
            return .callable(
                JinjaCallable(name) { run, arguments in
                    try run.looked(at: text.bytes.count)
                    return try method(run, text, arguments)
                })
        case .dictionary(let dictionary): return dictionaryMethod(name, dictionary)
        case .sequence(let sequence): return sequenceMethod(name, sequence)
        case .namespace(let namespace): return namespace.attributes[name]
        case .loop(let loop): return loop.attribute(name)
        case .callable(let callable): return callable.attributes[name]
        default: return nil
        }
    }

    private func forbidden(_ name: String, _ type: String) -> JinjaValue {
        .undefined("access to attribute '\(name)' of '\(type)' object is unsafe.")
    }

    private func dictionaryMethod(_ name: String, _ dictionary: JinjaDictionary) -> JinjaValue? {
        func view(_ kind: String, _ items: @escaping (JinjaRun) throws -> [JinjaValue]) -> JinjaValue {
            .callable(
                JinjaCallable(name) { run, arguments in
                    _ = try arguments.bound(by: name)
                    dictionary.readAll()
                    return try run.sequence(items(run), .view(kind))
                })
        }
        switch name {
        case "items": return view("dict_items") { run in try run.pairs(dictionary) }
        case "keys": return view("dict_keys") { _ in dictionary.keys }
        case "values": return view("dict_values") { _ in dictionary.values }
        case "copy":
            return .callable(
                JinjaCallable(name) { run, _ in
                    try run.willMake(items: dictionary.count)
                    dictionary.readAll()
                    let copy = JinjaDictionary()
                    for (key, value) in zip(dictionary.keys, dictionary.values) { copy.set(key, value) }
                    return .dictionary(copy)
                })
        case "get":
            return .callable(
                JinjaCallable(name) { run, arguments in
                    guard let key = arguments.positional.first, arguments.positional.count <= 2, arguments.named.isEmpty
                    else { throw run.fail("get takes a key and a default value") }
                    return dictionary[key] ?? (arguments.positional.count > 1 ? arguments.positional[1] : .none)
                })
        case "clear", "pop", "popitem", "setdefault", "update": return forbidden(name, "dict")
        default: return nil
        }
    }

    /// The members of a dictionary as tuples.
    func pairs(_ dictionary: JinjaDictionary) throws -> [JinjaValue] {
        dictionary.readAll()
        return try zip(dictionary.keys, dictionary.values).map { try sequence([$0, $1], .tuple) }
    }

    private func sequenceMethod(_ name: String, _ sequence: JinjaSequence) -> JinjaValue? {
        guard sequence.isIndexed else { return nil }
        switch name {
        case "count", "index":
            return .callable(
                JinjaCallable(name) { run, arguments in
                    guard let value = arguments.positional.first else { throw run.fail("\(name) takes an argument") }
                    try run.work(sequence.items.count)
                    let places = try sequence.items.indices.filter { try run.isEqual(sequence.items[$0], value) }
                    if name == "count" { return .int(places.count) }
                    guard let first = places.first else { throw run.fail("the value is not in the list") }
                    return .int(first)
                })
        case "copy" where sequence.kind == .list:
            return .callable(JinjaCallable(name) { run, _ in try run.sequence(sequence.items) })
        case "append", "clear", "extend", "insert", "pop", "remove", "reverse", "sort":
            return sequence.kind == .list ? forbidden(name, "list") : nil
        default: return nil
        }
    }

    // MARK: Slices

    func slice(
        _ object: JinjaValue, _ start: JinjaValue?, _ stop: JinjaValue?, _ step: JinjaValue?
    ) throws -> JinjaValue {
        let step = try bound(step) ?? 1
        guard step != 0 else { throw fail("slice step cannot be zero") }
        let (start, stop) = (try bound(start), try bound(stop))
        switch object {
        case .sequence(let sequence) where sequence.isIndexed:
            let positions = Self.positions(start, stop, step, count: sequence.items.count)
            return try self.sequence(positions.map { sequence.items[$0] }, sequence.kind)
        case .text(let text):
            try looked(at: text.bytes.count)
            if step == 1 {
                let count = text.count
                let (first, last) = Self.limits(start, stop, 1, count: count)
                guard first < last else { return .string("") }
                let lower = text.offset(first)
                return try self.text(text[lower..<text.offset(last - first, from: lower)])
            }
            let ranges = text.characterRanges
            var result = JinjaText()
            for position in Self.positions(start, stop, step, count: ranges.count) {
                result.append(text, ranges[position])
            }
            return try self.text(result)
        case .undefined(let message): throw fail(message)
        default: throw fail("'\(object.typeName)' object is not subscriptable")
        }
    }

    private func bound(_ value: JinjaValue?) throws -> Int? {
        guard let value else { return nil }
        if case .none = value { return nil }
        guard let integer = value.integer else { throw fail("slice indices must be integers or None") }
        return integer
    }

    /// The first position and the one behind the last, as Python places them.
    private static func limits(_ start: Int?, _ stop: Int?, _ step: Int, count: Int) -> (Int, Int) {
        func place(_ index: Int?, _ absent: Int) -> Int {
            guard let index else { return absent }
            let low = step > 0 ? 0 : -1
            let position = index < 0 ? index + count : index
            return min(max(position, low), step > 0 ? count : count - 1)
        }
        return step > 0 ? (place(start, 0), place(stop, count)) : (place(start, count - 1), place(stop, -1))
    }

    private static func positions(_ start: Int?, _ stop: Int?, _ step: Int, count: Int) -> [Int] {
        let (first, last) = limits(start, stop, step, count: count)
        return Array(stride(from: first, to: last, by: step))
    }
}

extension JinjaValue {
    /// The whole number that the value is; booleans are numbers.
    var integer: Int? {
        switch self {
        case .int(let number): number
        case .bool(let value): value ? 1 : 0
        default: nil
        }
    }

    /// The number that the value is; booleans are numbers.
    var number: Double? {
        if case .float(let number) = self { return number }
        return integer.map(Double.init)
    }
}
