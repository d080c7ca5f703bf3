//  Expressions of a template, in Jinja's order of binding, loosest first:
//
//      a if c else b,  or,  and,  not,  comparisons and in,  + -,  ~,  * / // %,  **,  unary + -,
//      and then what stands behind a value: .name [key] (call) |filter is test

extension JinjaParser {
    /// One expression or several that are separated by commas, which make a tuple.
    mutating func tuple(withConditional: Bool = true, endingBefore end: String? = nil) throws -> JinjaExpression {
        let line = token.line
        var items: [JinjaExpression] = []
        var isTuple = false
        while true {
            if !items.isEmpty, isTupleEnd(end) { break }
            if items.isEmpty, isTupleEnd(end) { throw unexpected("an expression") }
            items.append(withConditional ? try expression() : try nested { try $0.or() })
            guard skip(symbol: ",") else { break }
            isTuple = true
        }
        return isTuple ? JinjaExpression(.tuple(items), line: line) : items[0]
    }

    private func isTupleEnd(_ end: String?) -> Bool {
        switch token.kind {
        case .variableEnd, .blockEnd, .symbol(")"): true
        case .name(let name): name == end
        default: false
        }
    }

    mutating func expression() throws -> JinjaExpression {
        try nested { try $0.conditional() }
    }

    private mutating func conditional() throws -> JinjaExpression {
        let line = token.line
        var value = try or()
        while skip(name: "if") {
            let condition = try or()
            let other = skip(name: "else") ? try nested { try $0.conditional() } : nil
            value = JinjaExpression(.conditional(condition: condition, value: value, other: other), line: line)
        }
        return value
    }

    mutating func or() throws -> JinjaExpression {
        var left = try and()
        while isName("or") {
            let line = token.line
            advance()
            left = JinjaExpression(.or(left, try and()), line: line)
        }
        return left
    }

    private mutating func and() throws -> JinjaExpression {
        var left = try not()
        while isName("and") {
            let line = token.line
            advance()
            left = JinjaExpression(.and(left, try not()), line: line)
        }
        return left
    }

    private mutating func not() throws -> JinjaExpression {
        let line = token.line
        guard skip(name: "not") else { return try comparison() }
        return JinjaExpression(.not(try nested { try $0.not() }), line: line)
    }

    private mutating func comparison() throws -> JinjaExpression {
        let line = token.line
        let left = try sum()
        var rest: [(JinjaComparison, JinjaExpression)] = []
        while true {
            var comparison: JinjaComparison?
            switch token.kind {
            case .symbol(let symbol): comparison = JinjaComparison(rawValue: symbol)
            case .name("in"): comparison = .isIn
            case .name("not") where next.kind == .name("in"):
                advance()
                comparison = .isNotIn
            default: break
            }
            guard let comparison else { break }
            advance()
            rest.append((comparison, try sum()))
        }
        return rest.isEmpty ? left : JinjaExpression(.comparison(left, rest), line: line)
    }

    /// Operands of one rank, from the left.
    private mutating func chain(
        _ symbols: Set<String>, _ operand: (inout JinjaParser) throws -> JinjaExpression
    ) throws -> JinjaExpression {
        var left = try operand(&self)
        while case .symbol(let symbol) = token.kind, symbols.contains(symbol),
            let operation = JinjaOperator(rawValue: symbol)
        {
            let line = token.line
            advance()
            left = JinjaExpression(.arithmetic(operation, left, try operand(&self)), line: line)
        }
        return left
    }

    private mutating func sum() throws -> JinjaExpression {
        try chain(["+", "-"]) { try $0.concatenation() }
    }

    private mutating func concatenation() throws -> JinjaExpression {
        let line = token.line
        var parts = [try product()]
        while skip(symbol: "~") { parts.append(try product()) }
        return parts.count == 1 ? parts[0] : JinjaExpression(.concatenation(parts), line: line)
    }

    private mutating func product() throws -> JinjaExpression {
        try chain(["*", "/", "//", "%"]) { parser in
            try parser.chain(["**"]) { try $0.unary() }
        }
    }

    private mutating func unary(withFilter: Bool = true) throws -> JinjaExpression {
        let line = token.line
        var node: JinjaExpression
        if skip(symbol: "-") {
            node = JinjaExpression(.negative(try nested { try $0.unary(withFilter: false) }), line: line)
        } else if skip(symbol: "+") {
            node = JinjaExpression(.positive(try nested { try $0.unary(withFilter: false) }), line: line)
        } else {
            node = try primary()
        }
        node = try postfix(node)
        return withFilter ? try filters(of: node) ?? node : node
    }

    mutating func primary() throws -> JinjaExpression {
        let line = token.line
        switch token.kind {
        case .name(let name):
            advance()
            switch name {
            case "true", "True": return JinjaExpression(.literal(.bool(true)), line: line)
            case "false", "False": return JinjaExpression(.literal(.bool(false)), line: line)
            case "none", "None": return JinjaExpression(.literal(.none), line: line)
            default:
                words.names.insert(name)
                return JinjaExpression(.name(name), line: line)
            }
        case .string(var text):
            advance()
            while case .string(let more) = token.kind {
                text += more
                advance()
            }
            words.members.insert(text)
            return JinjaExpression(.literal(.string(text)), line: line)
        case .integer(let number):
            advance()
            return JinjaExpression(.literal(.int(number)), line: line)
        case .float(let number):
            advance()
            return JinjaExpression(.literal(.float(number)), line: line)
        case .symbol("("):
            advance()
            if skip(symbol: ")") { return JinjaExpression(.tuple([]), line: line) }
            let inner = try tuple()
            try expect(symbol: ")")
            return inner
        case .symbol("["):
            advance()
            var items: [JinjaExpression] = []
            while !isSymbol("]") {
                if !items.isEmpty { try expect(symbol: ",") }
                if isSymbol("]") { break }
                items.append(try expression())
            }
            advance()
            return JinjaExpression(.list(items), line: line)
        case .symbol("{"): return try dictionary()
        default: throw unexpected("an expression")
        }
    }

    private mutating func dictionary() throws -> JinjaExpression {
        let line = token.line
        advance()
        var members: [(key: JinjaExpression, value: JinjaExpression)] = []
        while !isSymbol("}") {
            if !members.isEmpty { try expect(symbol: ",") }
            if isSymbol("}") { break }
            let key = try expression()
            try expect(symbol: ":")
            members.append((key, try expression()))
        }
        advance()
        return JinjaExpression(.dictionary(members), line: line)
    }

    /// Attributes, subscripts and calls behind a value.
    mutating func postfix(_ node: JinjaExpression) throws -> JinjaExpression {
        var node = node
        while case .symbol(let symbol) = token.kind {
            let line = token.line
            switch symbol {
            case ".":
                advance()
                if case .integer(let number) = token.kind {
                    advance()
                    let key = JinjaExpression(.literal(.int(number)), line: line)
                    node = JinjaExpression(.item(node, key), line: line)
                } else {
                    let name = try name()
                    words.members.insert(name)
                    node = JinjaExpression(.attribute(node, name), line: line)
                }
            case "[": node = try subscripted(node)
            case "(": node = JinjaExpression(.call(node, try arguments()), line: line)
            default: return node
            }
        }
        return node
    }

    private mutating func subscripted(_ node: JinjaExpression) throws -> JinjaExpression {
        let line = token.line
        advance()
        var start: JinjaExpression?
        if !isSymbol(":") {
            let key = try expression()
            if skip(symbol: "]") { return JinjaExpression(.item(node, key), line: line) }
            if skip(symbol: ",") {
                var keys = [key]
                while !isSymbol("]") {
                    keys.append(try expression())
                    if !skip(symbol: ",") { break }
                }
                try expect(symbol: "]")
                return JinjaExpression(.item(node, JinjaExpression(.tuple(keys), line: line)), line: line)
            }
            start = key
        }
        try expect(symbol: ":")
        let stop = isSymbol(":") || isSymbol("]") ? nil : try expression()
        var step: JinjaExpression?
        if skip(symbol: ":") { step = isSymbol("]") ? nil : try expression() }
        try expect(symbol: "]")
        return JinjaExpression(.slice(node, start, stop, step), line: line)
    }
}
