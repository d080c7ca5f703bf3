//  What the methods of strings and the filters share: arguments, ends, parts and places of texts.

extension JinjaRun {
    /// A text that was given as an argument; nil for none.
    func textArgument(_ value: JinjaValue?) throws -> JinjaText? {
        switch value {
        case nil, .some(.none): return nil
        case .some(.text(let text)): return text
        case .some(.undefined(let message)): throw fail(message)
        case .some(let other): throw fail("must be str, not \(other.typeName)")
        }
    }

    func integerArgument(_ value: JinjaValue) throws -> Int {
        if let integer = value.integer { return integer }
        if case .undefined(let message) = value { throw fail(message) }
        throw fail("'\(value.typeName)' object cannot be interpreted as an integer")
    }

    func onlyText(_ arguments: JinjaArguments, _ name: String) throws -> JinjaText {
        guard arguments.positional.count == 1, arguments.named.isEmpty,
            let text = try textArgument(arguments.positional[0])
        else { throw fail("\(name)() takes exactly one string") }
        return text
    }

    func stripped(
        _ text: JinjaText, _ characters: JinjaValue?, leading: Bool = true, trailing: Bool = true
    ) throws -> JinjaText {
        guard let characters = try textArgument(characters) else {
            return text.stripped(leading: leading, trailing: trailing) { $0.isPythonSpace }
        }
        let set = Set(characters.scalars)
        return text.stripped(leading: leading, trailing: trailing) { set.contains($0) }
    }

    func replaced(_ text: JinjaText, _ old: JinjaText, by new: JinjaText, limit: Int) throws -> JinjaValue {
        let places: [Range<Int>]
        if old.isEmpty {
            places = text.boundaries.prefix(limit).map { $0..<$0 }
        } else {
            places = text.places(of: old, limit: limit)
        }
        let (bytes, overflow) = places.count.multipliedReportingOverflow(by: new.bytes.count)
        try willMake(bytes: overflow ? .max : bytes)
        try willMake(bytes: text.bytes.count)
        return .text(text.replacing(places, by: new))
    }

    func split(_ text: JinjaText, _ separator: JinjaText?, _ limit: Int, fromEnd: Bool) throws -> [JinjaText] {
        try looked(at: text.bytes.count)
        guard let separator else { return splitAtSpaces(text, limit, fromEnd: fromEnd) }
        guard !separator.isEmpty else { throw fail("empty separator") }
        var places: [Range<Int>]
        if fromEnd {
            places = []
            var end = text.bytes.count
            while places.count < limit, let place = text.findLast(separator, in: 0..<end) {
                places.insert(place..<place + separator.bytes.count, at: 0)
                end = place
                try work(1 + places.count / 64)
            }
        } else {
            places = text.places(of: separator, limit: limit)
        }
        var parts: [JinjaText] = []
        var start = 0
        for place in places {
            parts.append(text[start..<place.lowerBound])
            start = place.upperBound
        }
        return parts + [text[start..<text.bytes.count]]
    }

    private func splitAtSpaces(_ text: JinjaText, _ limit: Int, fromEnd: Bool) -> [JinjaText] {
        var words: [Range<Int>] = []
        for range in text.characterRanges where !text.scalar(at: range).isPythonSpace {
            if let last = words.last, last.upperBound == range.lowerBound {
                words[words.count - 1] = last.lowerBound..<range.upperBound
            } else {
                words.append(range)
            }
        }
        guard words.count > limit else { return words.map { text[$0] } }
        // What is left over keeps its white space at the outer end.
        if fromEnd {
            let rest = words.count - limit
            return [text[0..<words[rest - 1].upperBound]] + words[rest...].map { text[$0] }
        }
        return words[..<limit].map { text[$0] } + [text[words[limit].lowerBound..<text.bytes.count]]
    }

    func parts(of text: JinjaText, at place: Int?, _ separator: JinjaText, fromEnd: Bool) throws -> JinjaValue {
        guard let place else {
            let empty = JinjaValue.text(JinjaText())
            return try sequence(fromEnd ? [empty, empty, .text(text)] : [.text(text), empty, empty], .tuple)
        }
        let end = place + separator.bytes.count
        let parts = [text[0..<place], text[place..<end], text[end..<text.bytes.count]]
        return try sequence(parts.map { try self.text($0) }, .tuple)
    }

    func matches(
        _ text: JinjaText, _ arguments: JinjaArguments, _ name: String, _ holds: (JinjaText, JinjaText) -> Bool
    ) throws -> JinjaValue {
        guard let first = arguments.positional.first, arguments.positional.count <= 3 else {
            throw fail("\(name)() takes what to look for")
        }
        guard let range = try range(of: text, arguments.positional.dropFirst()) else { return .bool(false) }
        var patterns = [first]
        if case .sequence(let sequence) = first, sequence.kind == .tuple { patterns = sequence.items }
        let part = text[range]
        for pattern in patterns {
            guard case .text(let pattern) = pattern else {
                if case .undefined(let message) = pattern { throw fail(message) }
                throw fail("\(name) first arg must be str or a tuple of str, not \(pattern.typeName)")
            }
            if holds(part, pattern) { return .bool(true) }
        }
        return .bool(false)
    }

    /// The bytes between two optional positions in characters; nil when the first lies behind the
    /// end or the second.
    private func range(of text: JinjaText, _ bounds: ArraySlice<JinjaValue>) throws -> Range<Int>? {
        guard !bounds.isEmpty else { return text.bytes.indices }
        let count = text.count
        func place(_ value: JinjaValue?, _ absent: Int) throws -> Int {
            guard let value else { return absent }
            if case .none = value { return absent }
            let index = try integerArgument(value)
            return index < 0 ? max(0, index + count) : index
        }
        let start = try place(bounds.first, 0)
        let end = min(count, try place(bounds.dropFirst().first, count))
        guard start <= count, start <= end else { return nil }
        return text.offset(start)..<text.offset(end)
    }

    func patternAndRange(
        _ text: JinjaText, _ arguments: JinjaArguments, _ name: String
    ) throws -> (JinjaText, Range<Int>?) {
        guard let first = arguments.positional.first, arguments.positional.count <= 3,
            let pattern = try textArgument(first)
        else { throw fail("\(name)() takes what to look for") }
        return (pattern, try range(of: text, arguments.positional.dropFirst()))
    }

    func padded(
        _ text: JinjaText, _ arguments: JinjaArguments, _ name: String, _ before: (_ width: Int, _ missing: Int) -> Int
    ) throws -> JinjaValue {
        let values = try arguments.bound(to: "width", "fillchar", by: name)
        let width = try integerArgument(values[0] ?? .int(0))
        let fill = try textArgument(values[1]) ?? JinjaText(" ")
        guard fill.count == 1 else { throw fail("The fill character must be exactly one character long") }
        let missing = max(0, width - text.count)
        try willMake(bytes: missing.multipliedReportingOverflow(by: fill.bytes.count).partialValue)
        try willMake(bytes: missing)
        let left = missing > 0 ? before(width, missing) : 0
        var result = JinjaText()
        for _ in 0..<left { result.append(fill) }
        result.append(text)
        for _ in 0..<missing - left { result.append(fill) }
        return .text(result)
    }
}
