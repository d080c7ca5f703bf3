//  The tools of a request and which of them is to be called.

import DualityCore
import DualityInference

/// Tools as the template reads them and as the grammar does.
package struct ToolFields: Sendable {
    /// As they were sent, for the template.
    package var declared: [JSON] = []
    /// Those that may be called; none with `tool_choice` none.
    package var callable: [AnswerRules.Tool] = []
    package var choice = AnswerRules.ToolChoice.auto
    package var allowsParallelCalls = true

    init(_ fields: inout RequestFields) throws(RequestError) {
        allowsParallelCalls = try fields.bool("parallel_tool_calls") ?? true
        var tools: [AnswerRules.Tool] = []
        if let list = try fields.array("tools", "a list of tools") {
            guard 1...128 ~= list.count else {
                throw RequestError(
                    "tools", expected: "from 1 to 128 tools", found: list.isEmpty ? "an empty list" : "\(list.count)")
            }
            declared = list
            for (index, value) in list.enumerated() {
                let tool = try Self.tool(value, place: "tools[\(index)]")
                guard !tools.contains(where: { $0.name == tool.name }) else {
                    throw RequestError(
                        "tools[\(index)].function.name", expected: "a name for each tool",
                        found: "\"\(tool.name)\" twice")
                }
                tools.append(tool)
            }
        }
        let isCalled = try readChoice(&fields, tools)
        callable = isCalled ? tools : []
    }

    private static func tool(_ value: JSON, place: String) throws(RequestError) -> AnswerRules.Tool {
        guard let object = value.object else {
            throw RequestError(place, expected: "an object", found: RequestFields.found(value))
        }
        var tool = RequestFields(object, path: place)
        guard try tool.word("type", of: ["function"]) != nil else { throw tool.missing("type", "\"function\"") }
        guard var function = try tool.fields("function") else {
            throw tool.missing("function", "an object with a name")
        }
        guard let name = try function.string("name") else { throw function.missing("name", "a string") }
        let isName = { (byte: UInt8) in
            switch Unicode.Scalar(byte) {
            case "A"..."Z", "a"..."z", "0"..."9", "_", ".", "-": true
            default: false
            }
        }
        guard 1...64 ~= name.utf8.count, name.utf8.allSatisfy(isName) else {
            throw RequestError(
                function.place("name"), expected: "1 to 64 letters, digits, dots, dashes and underscores",
                found: "\"\(name.prefix(80))\"")
        }
        _ = try function.string("description")
        _ = try function.bool("strict")
        let parameters = try function.fields("parameters")?.object
        return AnswerRules.Tool(
            name: name, parameters: parameters.map { .object($0) }, place: function.place("parameters"))
    }

    /// Whether tools are called at all.
    private mutating func readChoice(
        _ fields: inout RequestFields, _ tools: [AnswerRules.Tool]
    ) throws(RequestError) -> Bool {
        let expected = "\"none\", \"auto\", \"required\" or {\"type\": \"function\", \"function\": {\"name\": …}}"
        func needTools(_ found: String) throws(RequestError) {
            guard !tools.isEmpty else {
                throw RequestError("tool_choice", expected: "tools beside it", found: "\(found) and no tools")
            }
        }
        switch fields.value("tool_choice") {
        case nil, .string("auto"): return !tools.isEmpty
        case .string("none"): return false
        case .string("required"):
            try needTools("required")
            choice = .required
        case .object(let object):
            var named = RequestFields(object, path: "tool_choice")
            guard try named.word("type", of: ["function"]) != nil else {
                throw named.missing("type", "\"function\"")
            }
            guard var function = try named.fields("function") else {
                throw named.missing("function", "an object with a name")
            }
            guard let name = try function.string("name") else { throw function.missing("name", "a string") }
            try needTools("a function")
            guard tools.contains(where: { $0.name == name }) else {
                throw RequestError(
                    function.place("name"), expected: "the name of a declared tool", found: "\"\(name.prefix(80))\"")
            }
            choice = .named(name)
        case let other?: throw RequestError("tool_choice", expected: expected, found: RequestFields.found(other))
        }
        return true
    }
}
