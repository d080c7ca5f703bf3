//  Expressions: a tree in, a value out.

extension JinjaRun {
    /// The value of an expression.
    ///
    /// - Parameter operand: what a filter without an operand of its own applies to.
    func evaluate(
        _ expression: JinjaExpression, in scope: JinjaScope, operand: JinjaValue? = nil
    ) throws -> JinjaValue {
        try work()
        return try nested { try value(of: expression, in: scope, operand: operand) }
    }

    private func value(
        of expression: JinjaExpression, in scope: JinjaScope, operand: JinjaValue?
    ) throws -> JinjaValue {
        switch expression.form {
        case .literal(let value): return value
        case .name(let name): return scope.value(of: name) ?? .undefined("'\(name)' is undefined")
        case .list(let items): return try sequence(items.map { try evaluate($0, in: scope) })
        case .tuple(let items): return try sequence(items.map { try evaluate($0, in: scope) }, .tuple)
        case .dictionary(let members): return try dictionary(members, in: scope)
        case .attribute(let object, let name): return try attribute(name, of: evaluate(object, in: scope))
        case .item(let object, let key):
            return try item(evaluate(key, in: scope), of: evaluate(object, in: scope))
        case .slice(let object, let start, let stop, let step):
            return try slice(
                evaluate(object, in: scope), start.map { try evaluate($0, in: scope) },
                stop.map { try evaluate($0, in: scope) }, step.map { try evaluate($0, in: scope) })
        case .call(let callee, let call):
            let value = try evaluate(callee, in: scope)
            let arguments = try arguments(call, in: scope)
            line = expression.line
            return try self.call(value, arguments)
        case .filter(let inner, let name, let call):
            let value = try inner.map { try evaluate($0, in: scope, operand: operand) } ?? operand ?? .none
            let arguments = try arguments(call, in: scope)
            line = expression.line
            return try filter(name, value, arguments)
        case .test(let inner, let name, let call, let negated):
            let value = try evaluate(inner, in: scope)
            let arguments = try arguments(call, in: scope)
            line = expression.line
            return .bool(try test(name, value, arguments) != negated)
        case .not(let inner): return .bool(try !evaluate(inner, in: scope).isTrue)
        case .and(let left, let right):
            let value = try evaluate(left, in: scope)
            return value.isTrue ? try evaluate(right, in: scope) : value
        case .or(let left, let right):
            let value = try evaluate(left, in: scope)
            return value.isTrue ? value : try evaluate(right, in: scope)
        case .conditional(let condition, let value, let other):
            if try evaluate(condition, in: scope).isTrue { return try evaluate(value, in: scope) }
            return try other.map { try evaluate($0, in: scope) }
                ?? .undefined("the inline if-expression evaluated to false and no else section was defined")
        default: return try operation(expression, in: scope)
        }
    }

    private func operation(_ expression: JinjaExpression, in scope: JinjaScope) throws -> JinjaValue {
        switch expression.form {
        case .negative(let inner): return try negative(evaluate(inner, in: scope))
        case .positive(let inner): return try positive(evaluate(inner, in: scope))
        case .arithmetic(let operation, let left, let right):
            let (left, right) = (try evaluate(left, in: scope), try evaluate(right, in: scope))
            line = expression.line
            return try arithmetic(operation, left, right)
        case .concatenation(let parts):
            var text = JinjaText()
            for part in parts {
                let next = try string(evaluate(part, in: scope))
                try willMake(bytes: next.bytes.count)
                text.append(next)
            }
            return .text(text)
        case .comparison(let first, let rest):
            var left = try evaluate(first, in: scope)
            for (comparison, expression) in rest {
                let right = try evaluate(expression, in: scope)
                line = expression.line
                guard try compare(comparison, left, right) else { return .bool(false) }
                left = right
            }
            return .bool(true)
        default: throw fail("an expression of an unknown form")
        }
    }

    private func dictionary(
        _ members: [(key: JinjaExpression, value: JinjaExpression)], in scope: JinjaScope
    ) throws -> JinjaValue {
        let dictionary = JinjaDictionary()
        try willMake(items: members.count)
        for member in members {
            let key = try evaluate(member.key, in: scope)
            guard dictionary.set(key, try evaluate(member.value, in: scope)) else {
                throw fail("unhashable type: '\(key.typeName)'")
            }
        }
        try check(nesting: dictionary.depth)
        return .dictionary(dictionary)
    }

    private func arguments(_ call: JinjaCallSyntax, in scope: JinjaScope) throws -> JinjaArguments {
        var arguments = JinjaArguments()
        arguments.positional = try call.positional.map { try evaluate($0, in: scope) }
        if let rest = call.rest { arguments.positional += try iterate(evaluate(rest, in: scope)) }
        arguments.named = try call.named.map { ($0.name, try evaluate($0.value, in: scope)) }
        if let rest = call.namedRest {
            guard case .dictionary(let members) = try evaluate(rest, in: scope) else {
                throw fail("argument after ** must be a mapping")
            }
            members.readAll()
            for (key, value) in zip(members.keys, members.values) {
                guard case .text(let name) = key else { throw fail("keywords must be strings") }
                arguments.named.append((name.string, value))
            }
        }
        return arguments
    }

    func call(_ value: JinjaValue, _ arguments: JinjaArguments) throws -> JinjaValue {
        switch value {
        case .callable(let callable):
            try work(4)
            return try nested { try callable.body(self, arguments) }
        case .undefined(let message): throw fail(message)
        case .loop: throw JinjaFailure(.unsupported, "a recursive loop", line: line)
        default: throw fail("'\(value.typeName)' object is not callable")
        }
    }

    /// The items that a loop goes through.
    func iterate(_ value: JinjaValue) throws -> [JinjaValue] {
        switch value {
        case .sequence(let sequence): return sequence.take()
        case .dictionary(let dictionary):
            dictionary.readAll()
            return dictionary.keys
        case .text(let text):
            try willMake(items: text.bytes.count)
            return text.characterRanges.map { .text(text[$0]) }
        case .undefined: return []
        default: throw fail("'\(value.typeName)' object is not iterable")
        }
    }
}

/// What a function, a method, a filter or a test is called with.
struct JinjaArguments {
    var positional: [JinjaValue] = []
    var named: [(name: String, value: JinjaValue)] = []

    /// The values of parameters in order; nil for those that were not given.
    ///
    /// - Throws: `JinjaFailure` for more arguments than parameters, or an unknown name.
    func bound(to parameters: String..., by name: String) throws -> [JinjaValue?] {
        guard positional.count <= parameters.count else {
            throw JinjaFailure(
                .runtime, "\(name)() takes at most \(parameters.count) arguments, got \(positional.count)")
        }
        var values: [JinjaValue?] = positional + Array(repeating: nil, count: parameters.count - positional.count)
        for (key, value) in named {
            guard let index = parameters.firstIndex(of: key), values[index] == nil else {
                throw JinjaFailure(.runtime, "\(name)() got an unexpected keyword argument '\(key)'")
            }
            values[index] = value
        }
        return values
    }
}
