//  Arguments, filters and tests.

extension JinjaParser {
    mutating func arguments() throws -> JinjaCallSyntax {
        var call = JinjaCallSyntax()
        try expect(symbol: "(")
        var isFirst = true
        while !isSymbol(")") {
            if !isFirst { try expect(symbol: ",") }
            isFirst = false
            if isSymbol(")") { break }
            if skip(symbol: "**") {
                guard call.namedRest == nil else { throw unexpected("a single **") }
                call.namedRest = try expression()
            } else if skip(symbol: "*") {
                guard call.rest == nil, call.namedRest == nil else { throw unexpected("a single *") }
                call.rest = try expression()
            } else if case .name(let name) = token.kind, next.kind == .symbol("=") {
                guard call.namedRest == nil else { throw unexpected("no argument behind **") }
                advance()
                advance()
                call.named.append((name, try expression()))
            } else {
                guard call.named.isEmpty, call.rest == nil, call.namedRest == nil else {
                    throw unexpected("a named argument")
                }
                call.positional.append(try expression())
            }
        }
        advance()
        return call
    }

    /// Filters, tests and calls behind a value; nil when there is neither a value nor a filter.
    mutating func filters(of operand: JinjaExpression?) throws -> JinjaExpression? {
        var node = operand
        // `{% filter name %}` begins with the filter's name.
        if operand == nil, case .name = token.kind { node = try filter(nil) }
        while true {
            let line = token.line
            if skip(symbol: "|") {
                node = try filter(node)
            } else if let tested = node, skip(name: "is") {
                node = try test(tested)
            } else if let called = node, operand != nil, isSymbol("(") {
                node = JinjaExpression(.call(called, try arguments()), line: line)
            } else {
                return node
            }
        }
    }

    private mutating func dottedName() throws -> String {
        var name = try name()
        while skip(symbol: ".") { name += "." + (try self.name()) }
        return name
    }

    private mutating func filter(_ operand: JinjaExpression?) throws -> JinjaExpression {
        let line = token.line
        let name = try dottedName()
        guard JinjaFilters.all[name] != nil else {
            throw JinjaFailure(.unsupported, "the filter \(name)", line: line)
        }
        let call = isSymbol("(") ? try arguments() : JinjaCallSyntax()
        return JinjaExpression(.filter(operand, name, call), line: line)
    }

    private mutating func test(_ operand: JinjaExpression) throws -> JinjaExpression {
        let line = token.line
        let negated = skip(name: "not")
        let name = try dottedName()
        guard JinjaTests.all[name] != nil else { throw JinjaFailure(.unsupported, "the test \(name)", line: line) }
        var call = JinjaCallSyntax()
        switch token.kind {
        case .symbol("("): call = try arguments()
        case .name("is"): throw unexpected("no test behind a test")
        case .name("else"), .name("or"), .name("and"): break
        case .name, .string, .integer, .float, .symbol("["), .symbol("{"):
            call.positional = [try nested { try $0.postfix($0.primary()) }]
        default: break
        }
        return JinjaExpression(.test(operand, name, call, negated: negated), line: line)
    }
}
