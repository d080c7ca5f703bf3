//  Statements of a template.
//
//  Source: Jinja 3.1, template designer documentation, "List of Control Structures", and the loop
//  controls extension; `generation` is transformers' own.

/// Reads the tokens of a template into statements.
struct JinjaParser {
    var tokens: [JinjaToken]
    var position = 0
    /// Statements and expressions that are open.
    var depth = 0
    /// All names and attributes the template reads, and its string literals.
    var words = JinjaWords()
    var loops = 0

    init(_ source: String) throws {
        tokens = try JinjaLexer.tokens(of: source)
    }

    /// The statements of the whole template.
    static func parse(_ source: String) throws -> (body: [JinjaStatement], words: JinjaWords) {
        var parser = try JinjaParser(source)
        let body = try parser.statements(until: [])
        return (body, parser.words)
    }

    // MARK: Tokens

    var token: JinjaToken { tokens[position] }
    var next: JinjaToken { tokens[min(position + 1, tokens.count - 1)] }

    mutating func advance() {
        if position + 1 < tokens.count { position += 1 }
    }

    func isSymbol(_ symbol: String) -> Bool { token.kind == .symbol(symbol) }
    func isName(_ name: String) -> Bool { token.kind == .name(name) }

    mutating func skip(symbol: String) -> Bool {
        guard isSymbol(symbol) else { return false }
        advance()
        return true
    }

    mutating func skip(name: String) -> Bool {
        guard isName(name) else { return false }
        advance()
        return true
    }

    mutating func expect(symbol: String) throws {
        guard skip(symbol: symbol) else { throw unexpected("\(symbol)") }
    }

    mutating func name() throws -> String {
        guard case .name(let name) = token.kind else { throw unexpected("a name") }
        advance()
        return name
    }

    mutating func blockEnd() throws {
        guard token.kind == .blockEnd else { throw unexpected("the end of the tag") }
        advance()
    }

    func unexpected(_ expected: String) -> JinjaFailure {
        let found: String =
            switch token.kind {
            case .data: "text"
            case .variableBegin: "{{"
            case .variableEnd: "}}"
            case .blockBegin: "{%"
            case .blockEnd: "the end of the tag"
            case .name(let name): name
            case .string(let text): String(text.prefix(30)).debugDescription
            case .integer(let number): "\(number)"
            case .float(let number): "\(number)"
            case .symbol(let symbol): symbol
            case .end: "the end of the template"
            }
        return JinjaFailure(.syntax, "\(found) where \(expected) should be", line: token.line)
    }

    /// Runs a part of the parser one level further down.
    mutating func nested<Result>(_ body: (inout JinjaParser) throws -> Result) throws -> Result {
        depth += 1
        defer { depth -= 1 }
        guard depth <= JinjaLimits.sourceDepth else {
            throw JinjaFailure(
                .limit, "more than \(JinjaLimits.sourceDepth) tags or expressions inside each other", line: token.line)
        }
        return try body(&self)
    }

    // MARK: Statements

    /// Statements up to a block whose name is one of `ends`, which is left for the caller; up to
    /// the end of the template when there are none.
    mutating func statements(until ends: Set<String>) throws -> [JinjaStatement] {
        var body: [JinjaStatement] = []
        while true {
            let line = token.line
            switch token.kind {
            case .data(let text):
                body.append(JinjaStatement(.data(JinjaText(text)), line: line))
                advance()
            case .variableBegin:
                advance()
                body.append(JinjaStatement(.output(try tuple()), line: line))
                guard token.kind == .variableEnd else { throw unexpected("}}") }
                advance()
            case .blockBegin:
                if case .name(let name) = next.kind, ends.contains(name) { return body }
                advance()
                body.append(JinjaStatement(try nested { try $0.statement() }, line: line))
            case .end where ends.isEmpty: return body
            default: throw unexpected(ends.sorted().joined(separator: " or "))
            }
        }
    }

    /// The body of a block and its end tag.
    mutating func body(until end: String) throws -> [JinjaStatement] {
        try blockEnd()
        let body = try statements(until: [end])
        advance()
        advance()
        try blockEnd()
        return body
    }

    private mutating func statement() throws -> JinjaStatement.Form {
        let line = token.line
        let keyword = try name()
        switch keyword {
        case "if": return try ifElse()
        case "for": return try forLoop()
        case "set": return try set()
        case "macro":
            let name = try self.name()
            return .macro(name: name, try macro(until: "endmacro"))
        case "call": return try callBlock()
        case "filter":
            guard let filter = try filters(of: nil) else { throw unexpected("a filter") }
            return .filterBlock(filter, body: try body(until: "endfilter"))
        case "with": return try with()
        case "generation": return .generation(try body(until: "endgeneration"))
        case "break", "continue":
            guard loops > 0 else { throw JinjaFailure(.syntax, "\(keyword) outside of a loop", line: line) }
            try blockEnd()
            return keyword == "break" ? .breakLoop : .continueLoop
        case "include", "import", "from", "extends", "block", "autoescape", "do", "trans", "debug":
            throw JinjaFailure(.unsupported, "the statement \(keyword)", line: line)
        default: throw JinjaFailure(.syntax, "the unknown statement \(keyword)", line: line)
        }
    }

    private mutating func ifElse() throws -> JinjaStatement.Form {
        let condition = try tuple(withConditional: false)
        try blockEnd()
        let then = try statements(until: ["elif", "else", "endif"])
        advance()
        let line = token.line
        if skip(name: "elif") {
            let rest = try nested { try $0.ifElse() }
            return .ifElse(condition: condition, then: then, otherwise: [JinjaStatement(rest, line: line)])
        }
        var otherwise: [JinjaStatement] = []
        if skip(name: "else") {
            otherwise = try body(until: "endif")
        } else {
            advance()
            try blockEnd()
        }
        return .ifElse(condition: condition, then: then, otherwise: otherwise)
    }

    private mutating func forLoop() throws -> JinjaStatement.Form {
        let target = try target(endingBefore: "in")
        guard skip(name: "in") else { throw unexpected("in") }
        let items = try tuple(withConditional: false, endingBefore: "recursive")
        var condition: JinjaExpression?
        if skip(name: "if") { condition = try expression() }
        if isName("recursive") { throw JinjaFailure(.unsupported, "a recursive loop", line: token.line) }
        try blockEnd()
        loops += 1
        let body = try statements(until: ["else", "endfor"])
        loops -= 1
        advance()
        var otherwise: [JinjaStatement] = []
        if skip(name: "else") {
            otherwise = try self.body(until: "endfor")
        } else {
            advance()
            try blockEnd()
        }
        return .forLoop(
            JinjaLoopSyntax(target: target, items: items, condition: condition, body: body, otherwise: otherwise))
    }

    private mutating func set() throws -> JinjaStatement.Form {
        let target = try target(endingBefore: nil)
        if skip(symbol: "=") {
            let value = try tuple()
            try blockEnd()
            return .set(target, value)
        }
        let filter = try filters(of: nil)
        return .setBlock(target, filter: filter, body: try body(until: "endset"))
    }

    private mutating func with() throws -> JinjaStatement.Form {
        var values: [(JinjaTarget, JinjaExpression)] = []
        while token.kind != .blockEnd {
            if !values.isEmpty { try expect(symbol: ",") }
            let target = try target(endingBefore: nil, single: true)
            try expect(symbol: "=")
            values.append((target, try expression()))
        }
        return .with(values, body: try body(until: "endwith"))
    }
}

/// The words of a template: what it can possibly look at.
struct JinjaWords {
    /// Variables.
    var names: Set<String> = []
    /// Attributes, and string literals: the names of members.
    var members: Set<String> = []

    mutating func formUnion(_ other: JinjaWords) {
        names.formUnion(other.names)
        members.formUnion(other.members)
    }
}
