//  Macros, calls with a body, and what is assigned to.

extension JinjaParser {
    mutating func callBlock() throws -> JinjaStatement.Form {
        var signature: Signature = ([], [])
        if isSymbol("(") { signature = try parameters() }
        let line = token.line
        let call = try expression()
        guard case .call = call.form else { throw JinjaFailure(.syntax, "a call block without a call", line: line) }
        let outer = words
        words = JinjaWords()
        let body = try outsideOfLoops { try $0.body(until: "endcall") }
        let caller = JinjaMacroSyntax(
            parameters: signature.parameters, defaults: signature.defaults, body: body, names: words.names)
        words.formUnion(outer)
        return .callBlock(call: call, caller: caller)
    }

    mutating func macro(until end: String) throws -> JinjaMacroSyntax {
        let signature = try parameters()
        let outer = words
        words = JinjaWords()
        let body = try outsideOfLoops { try $0.body(until: end) }
        defer { words.formUnion(outer) }
        return JinjaMacroSyntax(
            parameters: signature.parameters, defaults: signature.defaults, body: body, names: words.names)
    }

    /// A loop outside of a macro cannot be left from inside of it.
    private mutating func outsideOfLoops<Result>(_ body: (inout JinjaParser) throws -> Result) throws -> Result {
        let outer = loops
        loops = 0
        defer { loops = outer }
        return try body(&self)
    }

    private typealias Signature = (parameters: [String], defaults: [JinjaExpression])

    private mutating func parameters() throws -> Signature {
        var parameters: [String] = []
        var defaults: [JinjaExpression] = []
        try expect(symbol: "(")
        while !isSymbol(")") {
            if !parameters.isEmpty { try expect(symbol: ",") }
            parameters.append(try name())
            if skip(symbol: "=") {
                defaults.append(try expression())
            } else if !defaults.isEmpty {
                throw unexpected("a default value")
            }
        }
        advance()
        return (parameters, defaults)
    }

    /// What is assigned to: a name, several of them, or an attribute of a namespace.
    mutating func target(endingBefore end: String?, single: Bool = false) throws -> JinjaTarget {
        if !single, case .name(let space) = token.kind, next.kind == .symbol("."), end == nil {
            advance()
            advance()
            words.names.insert(space)
            return .attribute(of: space, try name())
        }
        var targets: [JinjaTarget] = []
        var isTuple = false
        while true {
            if skip(symbol: "(") {
                targets.append(try nested { try $0.target(endingBefore: end ?? "") })
                try expect(symbol: ")")
            } else {
                let line = token.line
                let name = try name()
                guard !["true", "false", "none", "True", "False", "None"].contains(name) else {
                    throw JinjaFailure(.syntax, "an assignment to \(name)", line: line)
                }
                targets.append(.name(name))
            }
            guard !single, skip(symbol: ",") else { break }
            isTuple = true
            guard case .name(let name) = token.kind, name != end else {
                if isSymbol("(") { continue }
                break
            }
        }
        return isTuple || targets.count > 1 ? .tuple(targets) : targets[0]
    }
}
