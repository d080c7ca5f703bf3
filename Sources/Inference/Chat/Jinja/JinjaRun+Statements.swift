//  Statements: what a template writes and remembers.

extension JinjaRun {
    /// Where the statements behind one go on.
    enum Flow {
        case onward, leaveLoop, nextItem
    }

    func execute(_ body: [JinjaStatement], in scope: JinjaScope) throws -> Flow {
        for statement in body {
            line = statement.line
            try work()
            let flow = try nested { try execute(statement, in: scope) }
            if flow != .onward { return flow }
        }
        return .onward
    }

    private func execute(_ statement: JinjaStatement, in scope: JinjaScope) throws -> Flow {
        switch statement.form {
        case .data(let text): try write(text)
        case .output(let expression): try write(string(evaluate(expression, in: scope)))
        case .ifElse(let condition, let then, let otherwise):
            return try execute(evaluate(condition, in: scope).isTrue ? then : otherwise, in: scope)
        case .forLoop(let loop): return try execute(loop, in: scope)
        case .set(let target, let expression): try assign(evaluate(expression, in: scope), to: target, in: scope)
        case .setBlock(let target, let filter, let body):
            let text = try captured { _ = try execute(body, in: JinjaScope(in: scope)) }
            let value = try filter.map { try evaluate($0, in: scope, operand: .text(text)) } ?? .text(text)
            try assign(value, to: target, in: scope)
        case .macro(let name, let syntax):
            scope.set(name, .callable(try macro(name, syntax, in: scope)))
        case .callBlock(let call, let caller):
            guard case .call(let callee, var arguments) = call.form else { break }
            let block = JinjaValue.callable(try macro("caller", caller, in: scope))
            arguments.named.append(("caller", JinjaExpression(.literal(block), line: statement.line)))
            let expression = JinjaExpression(.call(callee, arguments), line: statement.line)
            try write(string(evaluate(expression, in: scope)))
        case .filterBlock(let filter, let body):
            let text = try captured { _ = try execute(body, in: JinjaScope(in: scope)) }
            try write(string(evaluate(filter, in: scope, operand: .text(text))))
        case .with(let values, let body):
            let inner = JinjaScope(in: scope)
            for (target, expression) in values { try assign(evaluate(expression, in: scope), to: target, in: inner) }
            return try execute(body, in: inner)
        case .generation(let body): return try execute(body, in: JinjaScope(in: scope))
        case .breakLoop: return .leaveLoop
        case .continueLoop: return .nextItem
        }
        return .onward
    }

    private func execute(_ syntax: JinjaLoopSyntax, in scope: JinjaScope) throws -> Flow {
        var items = try iterate(evaluate(syntax.items, in: scope))
        if let condition = syntax.condition {
            items = try items.filter { item in
                let inner = JinjaScope(in: scope)
                try assign(item, to: syntax.target, in: inner)
                return try evaluate(condition, in: inner).isTrue
            }
        }
        // As in Jinja, `else` follows unless one turn of the loop came to its end.
        var isComplete = false
        var depth = 1
        if case .loop(let outer)? = scope.value(of: "loop") { depth = outer.depth + 1 }
        let loop = JinjaLoop(items, depth: depth)
        for (position, item) in items.enumerated() {
            try work()
            loop.position = position
            let inner = JinjaScope(in: scope)
            inner.set("loop", .loop(loop))
            try assign(item, to: syntax.target, in: inner)
            noteTurn(item)
            let flow = try execute(syntax.body, in: inner)
            if flow == .leaveLoop { break }
            isComplete = isComplete || flow == .onward
            if case .dictionary(let message) = item, message.message != nil, captures == 0 {
                loopEnd = output.bytes.count
            }
        }
        return isComplete ? .onward : try execute(syntax.otherwise, in: JinjaScope(in: scope))
    }

    /// Remembers where the text of a message begins.
    private func noteTurn(_ item: JinjaValue) {
        guard captures == 0, case .dictionary(let dictionary) = item, let message = dictionary.message else { return }
        turns[message] = output.bytes.count
    }

    func assign(_ value: JinjaValue, to target: JinjaTarget, in scope: JinjaScope) throws {
        switch target {
        case .name(let name): scope.set(name, value)
        case .tuple(let targets):
            let items = try iterate(value)
            guard items.count == targets.count else {
                throw fail("\(items.count) values for \(targets.count) names")
            }
            for (target, item) in zip(targets, items) { try assign(item, to: target, in: scope) }
        case .attribute(let space, let name):
            guard case .namespace(let namespace)? = scope.value(of: space) else {
                throw fail("cannot assign attribute on non-namespace object \(space)")
            }
            try willMake(items: 1)
            namespace.attributes[name] = value
        }
    }

    // MARK: Macros

    private func macro(_ name: String, _ syntax: JinjaMacroSyntax, in scope: JinjaScope) throws -> JinjaCallable {
        try keep(scope)
        let macro = JinjaCallable(name) { [unowned scope] run, arguments in
            try run.call(name, syntax, arguments, in: scope)
        }
        macro.attributes = [
            "name": .string(name), "arguments": try sequence(syntax.parameters.map { .string($0) }, .tuple),
            "catch_kwargs": .bool(syntax.names.contains("kwargs")),
            "catch_varargs": .bool(syntax.names.contains("varargs")),
            "caller": .bool(syntax.names.contains("caller")),
        ]
        return macro
    }

    private func call(
        _ name: String, _ syntax: JinjaMacroSyntax, _ arguments: JinjaArguments, in scope: JinjaScope
    ) throws -> JinjaValue {
        let inner = JinjaScope(in: scope)
        var named = arguments.named
        func take(_ name: String) -> JinjaValue? {
            named.firstIndex { $0.name == name }.map { named.remove(at: $0).value }
        }
        let positional = arguments.positional.prefix(syntax.parameters.count)
        for (parameter, value) in zip(syntax.parameters, positional) { inner.set(parameter, value) }
        let firstDefault = syntax.parameters.count - syntax.defaults.count
        for (index, parameter) in syntax.parameters.enumerated().dropFirst(positional.count) {
            if let value = take(parameter) {
                inner.set(parameter, value)
            } else if index >= firstDefault {
                inner.set(parameter, try evaluate(syntax.defaults[index - firstDefault], in: inner))
            } else {
                inner.set(parameter, .undefined("parameter '\(parameter)' was not provided"))
            }
        }
        if syntax.names.contains("caller"), !syntax.parameters.contains("caller") {
            inner.set("caller", take("caller") ?? .undefined("No caller defined"))
        }
        if syntax.names.contains("kwargs") {
            let rest = JinjaDictionary()
            for (name, value) in named { rest.set(name, value) }
            inner.set("kwargs", .dictionary(rest))
        } else if let (extra, _) = named.first {
            throw fail("macro '\(name)' takes no keyword argument '\(extra)'")
        }
        let rest = arguments.positional.dropFirst(syntax.parameters.count)
        if syntax.names.contains("varargs") {
            inner.set("varargs", try sequence(Array(rest), .tuple))
        } else if !rest.isEmpty {
            throw fail("macro '\(name)' takes not more than \(syntax.parameters.count) argument(s)")
        }
        return .text(try captured { _ = try execute(syntax.body, in: inner) })
    }
}
