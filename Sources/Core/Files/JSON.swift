//  A JSON value that loses nothing: numbers keep their digits, objects keep their order, names are
//  compared byte by byte.
//
//  Why not Foundation's: its errors give no usable position, it goes through Double for large
//  integers, and it accepts a key that is written twice. Names matter most here: Swift strings that
//  are canonically equivalent compare equal, and a vocabulary may hold both spellings of one
//  character.

/// A JSON value. Two values are equal when they are written with the same digits, characters and
/// order.
public enum JSON: Sendable, Equatable {
    /// `null`.
    case null
    /// `true` or `false`.
    case bool(Bool)
    /// The number as written: `1e-06`, `151645`. Also `NaN`, `Infinity` and `-Infinity`, which
    /// Python writes.
    case number(String)
    /// A string, its escapes resolved.
    case string(String)
    /// An array, in order.
    case array([JSON])
    /// An object, its members in the order of the file.
    case object(Object)

    /// An object: its members in the order of the file, found by name in constant time.
    public struct Object: Sendable {
        /// The members in order. No name occurs twice.
        public private(set) var members: [(name: String, value: JSON)] = []
        /// Position by name; built when a scan would be slower.
        private var index: [ExactString: Int] = [:]

        public init() {}

        /// The members' names, in the order of `members`.
        public var names: [String] { members.map(\.name) }
        /// Members of the object.
        public var count: Int { members.count }

        /// The value of a name; assigning replaces it in place or appends it, assigning nil is not
        /// a removal.
        public subscript(name: String) -> JSON? {
            get { position(of: name).map { members[$0].value } }
            set {
                guard let newValue else { return }
                if let position = position(of: name) {
                    members[position].value = newValue
                } else {
                    append(name, newValue)
                }
            }
        }

        /// Appends a member unless the name is taken.
        ///
        /// - Returns: whether it was appended.
        @discardableResult
        public mutating func append(_ name: String, _ value: JSON) -> Bool {
            guard position(of: name) == nil else { return false }
            if members.count == Self.scanLimit {
                for (i, member) in members.enumerated() { index[ExactString(member.name)] = i }
            }
            if members.count >= Self.scanLimit { index[ExactString(name)] = members.count }
            members.append((name, value))
            return true
        }

        private static let scanLimit = 8

        private func position(of name: String) -> Int? {
            if members.count > Self.scanLimit { return index[ExactString(name)] }
            return members.firstIndex { $0.name.utf8.elementsEqual(name.utf8) }
        }
    }
}

extension JSON.Object: Equatable {
    public static func == (a: Self, b: Self) -> Bool {
        a.members.elementsEqual(b.members) { $0.name.utf8.elementsEqual($1.name.utf8) && $0.value == $1.value }
    }
}

extension JSON.Object: ExpressibleByDictionaryLiteral {
    public init(dictionaryLiteral elements: (String, JSON)...) {
        for (name, value) in elements { append(name, value) }
    }
}

/// A string that is equal to another when their UTF-8 is, unlike `String`, which compares canonical
/// forms.
public struct ExactString: Hashable, Sendable {
    /// The characters as given, never normalized.
    public let string: String

    /// Wraps a string; its UTF-8 is kept as it is.
    public init(_ string: String) {
        self.string = string
    }

    public static func == (a: Self, b: Self) -> Bool {
        a.string.utf8.elementsEqual(b.string.utf8)
    }

    public func hash(into hasher: inout Hasher) {
        var string = self.string
        string.withUTF8 { hasher.combine(bytes: UnsafeRawBufferPointer($0)) }
    }
}

// MARK: - Looking at a value

extension JSON {
    /// What a value is, for messages: `a string`, `null`.
    public var kindName: String {
        switch self {
        case .null: "null"
        case .bool(let value): value ? "true" : "false"
        case .number(let literal): "the number \(literal)"
        case .string(let value): value.count <= 40 ? "the string \"\(value)\"" : "a string"
        case .array: "an array"
        case .object: "an object"
        }
    }

    /// The truth value; nil for any other kind of value.
    public var bool: Bool? {
        if case .bool(let value) = self { value } else { nil }
    }

    /// The text; nil for any other kind of value.
    public var string: String? {
        if case .string(let value) = self { value } else { nil }
    }

    /// The elements in order; nil for any other kind of value.
    public var array: [JSON]? {
        if case .array(let values) = self { values } else { nil }
    }

    /// The members; nil for any other kind of value.
    public var object: Object? {
        if case .object(let value) = self { value } else { nil }
    }

    /// The integer, when the number is one that `Int` holds exactly: `7`, and also `7.0` and `1e3`.
    public var int: Int? {
        guard case .number(let literal) = self else { return nil }
        return Int(literal) ?? Double(literal).flatMap { $0.magnitude < 0x1p53 ? Int(exactly: $0) : nil }
    }

    /// The number rounded to float64; also the object `{"__float__": "Infinity"}` that newer
    /// checkpoints write for a value JSON has no spelling for.
    public var double: Double? {
        switch self {
        case .number(let literal):
            return Double(literal)
        case .object(let object) where object.count == 1:
            guard let spelling = object["__float__"]?.string else { return nil }
            return ["Infinity": .infinity, "-Infinity": -.infinity, "NaN": .nan][spelling]
        default:
            return nil
        }
    }

    /// The member of an object; nil when this is not an object or has no such member.
    public subscript(name: String) -> JSON? { object?[name] }
}

// MARK: - Literals

extension JSON: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral, ExpressibleByBooleanLiteral,
    ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral
{
    public init(stringLiteral value: String) { self = .string(value) }
    public init(integerLiteral value: Int) { self = .number(String(value)) }
    public init(booleanLiteral value: Bool) { self = .bool(value) }
    public init(arrayLiteral elements: JSON...) { self = .array(elements) }

    public init(dictionaryLiteral elements: (String, JSON)...) {
        var object = Object()
        for (name, value) in elements { object.append(name, value) }
        self = .object(object)
    }

    /// A number in decimal digits, exact for every integer.
    public init(_ value: Int) { self = .number(String(value)) }

    /// The shortest digits that read back as the same number; null for a number that is not finite.
    public init(_ value: Double) { self = value.isFinite ? .number(value.description) : .null }
}
