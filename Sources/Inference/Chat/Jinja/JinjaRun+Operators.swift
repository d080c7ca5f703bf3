//  Arithmetic and comparisons, as Python has them.

import Foundation

extension JinjaRun {
    func arithmetic(_ operation: JinjaOperator, _ left: JinjaValue, _ right: JinjaValue) throws -> JinjaValue {
        if case .undefined(let message) = left { throw fail(message) }
        if case .text(let text) = left, operation == .remainder {
            return try self.text(percentFormat(text, right))
        }
        if case .undefined(let message) = right { throw fail(message) }
        switch operation {
        case .add:
            if case .text(let a) = left, case .text(let b) = right { return .text(try joined(a, b)) }
            if case .sequence(let a) = left, case .sequence(let b) = right, a.kind == b.kind,
                a.kind == .list || a.kind == .tuple
            {
                try willMake(items: a.items.count)
                return try sequence(a.items + b.items, a.kind)
            }
        case .multiply:
            if let value = try repeated(left, right) ?? repeated(right, left) { return value }
        default: break
        }
        if let a = left.integer, let b = right.integer { return try arithmetic(operation, a, b) }
        if let a = left.number, let b = right.number { return .float(try arithmetic(operation, a, b)) }
        if case .wideInteger = left { throw tooWide }
        if case .wideInteger = right { throw tooWide }
        throw fail(
            "unsupported operand type(s) for \(operation.rawValue): '\(left.typeName)' and '\(right.typeName)'")
    }

    private var tooWide: JinjaFailure {
        JinjaFailure(.unsupported, "arithmetic with whole numbers beyond 64 bits", line: line)
    }

    private func joined(_ a: JinjaText, _ b: JinjaText) throws -> JinjaText {
        let (a, b) = a.isMarkup == b.isMarkup ? (a, b) : a.isMarkup ? (a, b.escapedForHTML) : (a.escapedForHTML, b)
        try willMake(bytes: a.bytes.count + b.bytes.count)
        var result = a
        result.append(b)
        return result
    }

    private func repeated(_ value: JinjaValue, _ times: JinjaValue) throws -> JinjaValue? {
        guard let times = times.integer.map({ max(0, $0) }) else { return nil }
        switch value {
        case .text(let text):
            let (bytes, overflow) = text.bytes.count.multipliedReportingOverflow(by: times)
            try willMake(bytes: overflow ? .max : bytes)
            var result = JinjaText()
            if !text.isEmpty { for _ in 0..<times { result.append(text) } }
            return .text(result)
        case .sequence(let sequence) where sequence.kind == .list || sequence.kind == .tuple:
            let (count, overflow) = sequence.items.count.multipliedReportingOverflow(by: times)
            try willMake(items: overflow ? .max : count)
            if sequence.items.isEmpty { return value }
            return .sequence(
                JinjaSequence(Array(repeatElement(sequence.items, count: times).joined()), sequence.kind))
        default: return nil
        }
    }

    private func arithmetic(_ operation: JinjaOperator, _ a: Int, _ b: Int) throws -> JinjaValue {
        var result: (partialValue: Int, overflow: Bool) = (0, false)
        switch operation {
        case .add: result = a.addingReportingOverflow(b)
        case .subtract: result = a.subtractingReportingOverflow(b)
        case .multiply: result = a.multipliedReportingOverflow(by: b)
        case .divide:
            guard b != 0 else { throw fail("division by zero") }
            return .float(Double(a) / Double(b))
        case .floorDivide, .remainder:
            guard b != 0 else { throw fail("integer division or modulo by zero") }
            let (quotient, overflow) = a.dividedReportingOverflow(by: b)
            guard !overflow else { throw tooWide }
            let remainder = a - quotient * b
            let isBelow = remainder != 0 && (remainder < 0) != (b < 0)
            return .int(operation == .remainder ? remainder + (isBelow ? b : 0) : quotient - (isBelow ? 1 : 0))
        case .power:
            if b < 0 {
                guard a != 0 else { throw fail("0.0 cannot be raised to a negative power") }
                return .float(pow(Double(a), Double(b)))
            }
            result.partialValue = 1
            for _ in 0..<min(b, 64) where !result.overflow {
                result = result.partialValue.multipliedReportingOverflow(by: a)
            }
            if b > 64 {
                switch a {
                case 0, 1: result = (a, false)
                case -1: result = (b % 2 == 0 ? 1 : -1, false)
                default: result.overflow = true
                }
            }
        }
        guard !result.overflow else { throw tooWide }
        return .int(result.partialValue)
    }

    private func arithmetic(_ operation: JinjaOperator, _ a: Double, _ b: Double) throws -> Double {
        switch operation {
        case .add: return a + b
        case .subtract: return a - b
        case .multiply: return a * b
        case .power:
            let result = pow(a, b)
            if result.isInfinite && a.isFinite && b.isFinite { throw fail("numerical result out of range") }
            if result.isNaN && !a.isNaN && !b.isNaN { throw fail("a complex number") }
            return result
        case .divide, .floorDivide, .remainder:
            guard b != 0 else { throw fail("float division by zero") }
            if operation == .divide { return a / b }
            var remainder = a.truncatingRemainder(dividingBy: b)
            if remainder == 0 {
                remainder = Double(signOf: b, magnitudeOf: 0)
            } else if (remainder < 0) != (b < 0) {
                remainder += b
            }
            if operation == .remainder { return remainder }
            let quotient = ((a - remainder) / b).rounded()
            return quotient == 0 ? Double(signOf: a / b, magnitudeOf: 0) : quotient
        }
    }

    func negative(_ value: JinjaValue) throws -> JinjaValue {
        switch value {
        case .float(let number): return .float(-number)
        case .undefined(let message): throw fail(message)
        default:
            guard let number = value.integer else { throw fail("bad operand type for unary -: '\(value.typeName)'") }
            guard number != .min else { throw tooWide }
            return .int(-number)
        }
    }

    func positive(_ value: JinjaValue) throws -> JinjaValue {
        switch value {
        case .float: return value
        case .undefined(let message): throw fail(message)
        default:
            guard let number = value.integer else { throw fail("bad operand type for unary +: '\(value.typeName)'") }
            return .int(number)
        }
    }

    // MARK: Comparing

    func compare(_ comparison: JinjaComparison, _ left: JinjaValue, _ right: JinjaValue) throws -> Bool {
        switch comparison {
        case .equal: return try isEqual(left, right)
        case .notEqual: return try !isEqual(left, right)
        case .isIn: return try contains(right, left)
        case .isNotIn: return try !contains(right, left)
        case .less: return try order(left, right, "<") { $0 < 0 }
        case .lessOrEqual: return try order(left, right, "<=") { $0 <= 0 }
        case .greater: return try order(left, right, ">") { $0 > 0 }
        case .greaterOrEqual: return try order(left, right, ">=") { $0 >= 0 }
        }
    }

    /// Python's `==`.
    func isEqual(_ left: JinjaValue, _ right: JinjaValue) throws -> Bool {
        try work()
        if let a = left.integer, let b = right.integer { return a == b }
        if let a = left.number, let b = right.number { return a == b }
        switch (left, right) {
        case (.undefined, .undefined), (.none, .none): return true
        case (.text(let a), .text(let b)):
            try looked(at: min(a.bytes.count, b.bytes.count))
            return a == b
        case (.wideInteger(let a), .wideInteger(let b)): return a == b
        case (.sequence(let a), .sequence(let b)):
            if a === b { return true }
            guard a.kind == b.kind, a.isIndexed || a.kind == .view("dict_keys"), a.items.count == b.items.count
            else { return false }
            return try zip(a.items, b.items).allSatisfy { try isEqual($0, $1) }
        case (.dictionary(let a), .dictionary(let b)):
            guard a.count == b.count else { return false }
            return try zip(a.keys, a.values).allSatisfy { key, value in
                guard let other = b[key] else { return false }
                return try isEqual(value, other)
            }
        case (.namespace(let a), .namespace(let b)): return a === b
        case (.callable(let a), .callable(let b)): return a === b
        case (.loop(let a), .loop(let b)): return a === b
        default: return false
        }
    }

    /// Compares what has an order: `holds` gets a number below, at or above 0.
    private func order(
        _ left: JinjaValue, _ right: JinjaValue, _ symbol: String, _ holds: (Int) -> Bool
    ) throws -> Bool {
        guard let order = try order(left, right) else {
            if let a = left.number, let b = right.number, a.isNaN || b.isNaN { return false }
            if case .undefined(let message) = left { throw fail(message) }
            if case .undefined(let message) = right { throw fail(message) }
            throw fail("'\(symbol)' not supported between instances of '\(left.typeName)' and '\(right.typeName)'")
        }
        return holds(order)
    }

    /// -1, 0 or 1; nil for values without an order.
    func order(_ left: JinjaValue, _ right: JinjaValue) throws -> Int? {
        try work()
        if let a = left.integer, let b = right.integer { return a < b ? -1 : a > b ? 1 : 0 }
        if let a = left.number, let b = right.number { return a < b ? -1 : a > b ? 1 : a == b ? 0 : nil }
        switch (left, right) {
        case (.text(let a), .text(let b)):
            try looked(at: min(a.bytes.count, b.bytes.count))
            // UTF-8 has the order of its characters.
            return a == b ? 0 : a.bytes.lexicographicallyPrecedes(b.bytes) ? -1 : 1
        case (.sequence(let a), .sequence(let b)) where a.kind == b.kind && (a.kind == .list || a.kind == .tuple):
            for (x, y) in zip(a.items, b.items) where try !isEqual(x, y) { return try order(x, y) }
            return a.items.count < b.items.count ? -1 : a.items.count > b.items.count ? 1 : 0
        default: return nil
        }
    }

    /// Python's `value in container`.
    func contains(_ container: JinjaValue, _ value: JinjaValue) throws -> Bool {
        switch container {
        case .text(let text):
            guard case .text(let part) = value else {
                if case .undefined(let message) = value { throw fail(message) }
                throw fail("'in <string>' requires string as left operand, not \(value.typeName)")
            }
            try looked(at: text.bytes.count)
            return text.contains(part)
        case .dictionary(let dictionary):
            if case .undefined = value { return false }
            guard JinjaKey(value) != nil else { throw fail("unhashable type: '\(value.typeName)'") }
            return dictionary[value] != nil
        case .sequence(let sequence):
            for item in sequence.take() where try isEqual(item, value) { return true }
            return false
        case .undefined: return false
        default: throw fail("argument of type '\(container.typeName)' is not iterable")
        }
    }
}
