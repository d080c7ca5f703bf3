//  A template as a tree.

/// An expression and the line it begins on.
final class JinjaExpression {
    indirect enum Form {
        case literal(JinjaValue)
        case name(String)
        case list([JinjaExpression])
        case tuple([JinjaExpression])
        case dictionary([(key: JinjaExpression, value: JinjaExpression)])
        /// `a.name`
        case attribute(JinjaExpression, String)
        /// `a[key]`
        case item(JinjaExpression, JinjaExpression)
        /// `a[start:stop:step]`
        case slice(JinjaExpression, JinjaExpression?, JinjaExpression?, JinjaExpression?)
        case call(JinjaExpression, JinjaCallSyntax)
        case filter(JinjaExpression?, String, JinjaCallSyntax)
        case test(JinjaExpression, String, JinjaCallSyntax, negated: Bool)
        case negative(JinjaExpression)
        case positive(JinjaExpression)
        case not(JinjaExpression)
        case and(JinjaExpression, JinjaExpression)
        case or(JinjaExpression, JinjaExpression)
        case arithmetic(JinjaOperator, JinjaExpression, JinjaExpression)
        /// `a ~ b ~ c`
        case concatenation([JinjaExpression])
        /// `a < b <= c`
        case comparison(JinjaExpression, [(JinjaComparison, JinjaExpression)])
        /// `value if condition else other`
        case conditional(condition: JinjaExpression, value: JinjaExpression, other: JinjaExpression?)
    }

    let form: Form
    let line: Int

    init(_ form: Form, line: Int) {
        self.form = form
        self.line = line
    }
}

/// What stands between the parentheses of a call.
struct JinjaCallSyntax {
    var positional: [JinjaExpression] = []
    var named: [(name: String, value: JinjaExpression)] = []
    /// `*arguments`
    var rest: JinjaExpression?
    /// `**arguments`
    var namedRest: JinjaExpression?
}

enum JinjaOperator: String {
    case add = "+"
    case subtract = "-"
    case multiply = "*"
    case divide = "/"
    case floorDivide = "//"
    case remainder = "%"
    case power = "**"
}

enum JinjaComparison: String {
    case equal = "=="
    case notEqual = "!="
    case less = "<"
    case lessOrEqual = "<="
    case greater = ">"
    case greaterOrEqual = ">="
    case isIn = "in"
    case isNotIn = "not in"
}

/// What is assigned to.
indirect enum JinjaTarget {
    case name(String)
    case tuple([JinjaTarget])
    /// An attribute of a namespace.
    case attribute(of: String, String)
}

/// A statement and the line it begins on.
final class JinjaStatement {
    enum Form {
        case data(JinjaText)
        case output(JinjaExpression)
        case ifElse(condition: JinjaExpression, then: [JinjaStatement], otherwise: [JinjaStatement])
        case forLoop(JinjaLoopSyntax)
        case set(JinjaTarget, JinjaExpression)
        /// `{% set name | filter %} … {% endset %}`; the filters read the text as a nil operand.
        case setBlock(JinjaTarget, filter: JinjaExpression?, body: [JinjaStatement])
        case macro(name: String, JinjaMacroSyntax)
        case callBlock(call: JinjaExpression, caller: JinjaMacroSyntax)
        case filterBlock(JinjaExpression, body: [JinjaStatement])
        case with([(JinjaTarget, JinjaExpression)], body: [JinjaStatement])
        /// `{% generation %}`: what the model itself would write. It only scopes.
        case generation([JinjaStatement])
        case breakLoop
        case continueLoop
    }

    let form: Form
    let line: Int

    init(_ form: Form, line: Int) {
        self.form = form
        self.line = line
    }
}

struct JinjaLoopSyntax {
    let target: JinjaTarget
    let items: JinjaExpression
    let condition: JinjaExpression?
    let body: [JinjaStatement]
    let otherwise: [JinjaStatement]
}

final class JinjaMacroSyntax {
    let parameters: [String]
    /// The default values of the last parameters.
    let defaults: [JinjaExpression]
    let body: [JinjaStatement]
    /// Whether the body speaks of `caller`, `varargs`, `kwargs`; what it does not name it does not
    /// take.
    let names: Set<String>

    init(parameters: [String], defaults: [JinjaExpression], body: [JinjaStatement], names: Set<String>) {
        self.parameters = parameters
        self.defaults = defaults
        self.body = body
        self.names = names
    }
}
