//  The values of a template program: Python's, as far as templates see them.
//
//  Strings, lists and dictionaries cannot be changed by a template (transformers runs templates in
//  an immutable sandbox); only the attributes of a `namespace` can.

/// A value of a template program.
enum JinjaValue {
    /// A name that stands for nothing, with what it was, for messages.
    case undefined(String)
    case none
    case bool(Bool)
    case int(Int)
    case float(Double)
    /// A whole number that `Int` does not hold, by its digits. It can be written and nothing else.
    case wideInteger(String)
    case text(JinjaText)
    case sequence(JinjaSequence)
    case dictionary(JinjaDictionary)
    case namespace(JinjaNamespace)
    case callable(JinjaCallable)
    case loop(JinjaLoop)

    static func string(_ string: String) -> JinjaValue { .text(JinjaText(string)) }
}

/// Several values in order: a list, a tuple, or one of Python's lazy relatives.
final class JinjaSequence {
    enum Kind: Equatable {
        case list, tuple
        /// What `range` gives.
        case range
        /// What most filters give: true whatever it holds, without a length, and used up by the
        /// first that goes through it.
        case generator
        /// A view of a dictionary: `dict_items`, `dict_keys`, `dict_values`.
        case view(String)
    }

    let kind: Kind
    private(set) var items: [JinjaValue]
    /// How deep sequences and dictionaries are nested, this one included.
    let depth: Int

    init(_ items: [JinjaValue], _ kind: Kind = .list) {
        self.items = items
        self.kind = kind
        depth = 1 + (items.lazy.map(\.depth).max() ?? 0)
    }

    var hasLength: Bool { kind != .generator }
    var isIndexed: Bool { kind == .list || kind == .tuple || kind == .range }

    /// The items; a generator has none afterwards.
    func take() -> [JinjaValue] {
        guard kind == .generator else { return items }
        defer { items = [] }
        return items
    }

    /// The first item of a generator, which it then no longer has.
    func takeFirst() -> JinjaValue? {
        kind == .generator && !items.isEmpty ? items.removeFirst() : items.first
    }
}

/// A mapping that keeps the order of its members.
final class JinjaDictionary {
    private(set) var keys: [JinjaValue] = []
    private(set) var values: [JinjaValue] = []
    private var index: [JinjaKey: Int] = [:]
    private(set) var depth = 1
    /// The position of the message that this is, for turns and for members that nothing reads.
    var message: Int?
    /// Whether members have been read by name, a flag for each; empty when nobody asks.
    private(set) var reads: [Bool] = []

    /// Sets a member; false for a key that cannot be one.
    @discardableResult
    func set(_ key: JinjaValue, _ value: JinjaValue) -> Bool {
        guard let hashed = JinjaKey(key) else { return false }
        depth = max(depth, 1 + value.depth)
        if let position = index[hashed] {
            values[position] = value
        } else {
            index[hashed] = keys.count
            keys.append(key)
            values.append(value)
        }
        return true
    }

    func set(_ name: String, _ value: JinjaValue) { set(.string(name), value) }

    subscript(key: JinjaValue) -> JinjaValue? {
        guard let hashed = JinjaKey(key), let position = index[hashed] else { return nil }
        if !reads.isEmpty { reads[position] = true }
        return values[position]
    }

    subscript(name: String) -> JinjaValue? { self[.string(name)] }

    var count: Int { keys.count }

    /// Keeps an account of the members that are read from now on.
    func watch() { reads = Array(repeating: false, count: keys.count) }

    /// Notes that all members were seen, by a loop over them or by writing the whole.
    func readAll() {
        guard !reads.isEmpty else { return }
        for position in reads.indices { reads[position] = true }
    }
}

/// A key of a dictionary: numbers that are equal are one key, as in Python.
enum JinjaKey: Hashable {
    case text([UInt8])
    case number(Double)
    case none
    case tuple([JinjaKey])

    init?(_ value: JinjaValue) {
        switch value {
        case .text(let text): self = .text(text.bytes)
        case .int(let number): self = .number(Double(number))
        case .float(let number): self = .number(number)
        case .bool(let value): self = .number(value ? 1 : 0)
        case .none: self = .none
        case .sequence(let sequence) where sequence.kind == .tuple:
            var keys: [JinjaKey] = []
            for item in sequence.items {
                guard let key = JinjaKey(item) else { return nil }
                keys.append(key)
            }
            self = .tuple(keys)
        default: return nil
        }
    }
}

/// The one object a template can change.
final class JinjaNamespace {
    var attributes: [String: JinjaValue] = [:]
}

/// Something that can be called: a macro, a global function, or a method bound to its object.
final class JinjaCallable {
    typealias Body = (JinjaRun, JinjaArguments) throws -> JinjaValue

    let name: String
    let body: Body
    /// What can be read from it by name, such as a macro's `name`.
    var attributes: [String: JinjaValue] = [:]

    init(_ name: String, _ body: @escaping Body) {
        self.name = name
        self.body = body
    }
}

extension JinjaValue {
    /// How deep the value is nested; 0 for what holds no other.
    var depth: Int {
        switch self {
        case .sequence(let sequence): sequence.depth
        case .dictionary(let dictionary): dictionary.depth
        default: 0
        }
    }

    /// What `if` makes of the value.
    var isTrue: Bool {
        switch self {
        case .undefined, .none: false
        case .bool(let value): value
        case .int(let number): number != 0
        case .float(let number): number != 0
        case .text(let text): !text.isEmpty
        case .sequence(let sequence): sequence.kind == .generator || !sequence.items.isEmpty
        case .dictionary(let dictionary): dictionary.count > 0
        case .loop(let loop): loop.count > 0
        case .wideInteger, .namespace, .callable: true
        }
    }

    /// The name of the type in Python, for messages.
    var typeName: String {
        switch self {
        case .undefined: "Undefined"
        case .none: "NoneType"
        case .bool: "bool"
        case .int, .wideInteger: "int"
        case .float: "float"
        case .text(let text): text.isMarkup ? "Markup" : "str"
        case .sequence(let sequence):
            switch sequence.kind {
            case .list: "list"
            case .tuple: "tuple"
            case .range: "range"
            case .generator: "generator"
            case .view(let name): name
            }
        case .dictionary: "dict"
        case .namespace: "Namespace"
        case .callable: "function"
        case .loop: "LoopContext"
        }
    }

    var isUndefined: Bool {
        if case .undefined = self { true } else { false }
    }
}
