//  What an answer has to look like: response_format, structured_outputs and its older names.

import DualityCore
import DualityInference

/// Reads the members that constrain an answer; more than one constraint is a mistake.
enum AnswerForm {
    static func read(_ fields: inout RequestFields) throws(RequestError) -> AnswerRules.Form {
        var found: [(place: String, form: AnswerRules.Form)] = []
        if let form = try responseFormat(&fields) { found.append(("response_format", form)) }
        if let form = try structuredOutputs(&fields) { found.append(("structured_outputs", form)) }
        for (name, member) in [("guided_json", "json"), ("guided_regex", "regex"), ("guided_choice", "choice")] {
            guard let value = fields.value(name) else { continue }
            found.append((name, try form(member, value, place: name)))
        }
        guard found.count < 2 else {
            throw RequestError(
                found[1].place, expected: "one constraint of the answer",
                found: found.map(\.place).joined(separator: " and "))
        }
        return found.first?.form ?? .text
    }

    private static func responseFormat(_ fields: inout RequestFields) throws(RequestError) -> AnswerRules.Form? {
        guard var format = try fields.fields("response_format") else { return nil }
        let types = ["text", "json_object", "json_schema"]
        guard let type = try format.word("type", of: types) else {
            throw format.missing("type", "one of " + types.map { "\"\($0)\"" }.joined(separator: ", "))
        }
        switch type {
        case "json_object": return .jsonObject
        case "json_schema":
            guard var schema = try format.fields("json_schema") else {
                throw format.missing("json_schema", "an object with name and schema")
            }
            guard try schema.string("name") != nil else { throw schema.missing("name", "a string") }
            _ = try schema.bool("strict")
            _ = try schema.string("description")
            guard let value = schema.value("schema") else { throw schema.missing("schema", "a JSON schema") }
            return .schema(value, place: schema.place("schema"))
        default: return nil
        }
    }

    private static func structuredOutputs(_ fields: inout RequestFields) throws(RequestError) -> AnswerRules.Form? {
        guard let outputs = try fields.fields("structured_outputs") else { return nil }
        let kinds = ["json", "regex", "choice", "json_object"]
        let given = outputs.object.members.filter { $0.value != .null && $0.value != .bool(false) }
        for member in given where ["grammar", "structural_tag"].contains(member.name) {
            throw .unsupported(outputs.place(member.name), "expected one of \(kinds.joined(separator: ", "))")
        }
        let wanted = given.filter { kinds.contains($0.name) }
        guard wanted.count == 1 else {
            throw RequestError(
                "structured_outputs", expected: "exactly one of \(kinds.joined(separator: ", "))",
                found: wanted.isEmpty ? "none" : wanted.map(\.name).joined(separator: " and "))
        }
        return try form(wanted[0].name, wanted[0].value, place: outputs.place(wanted[0].name))
    }

    private static func form(
        _ kind: String, _ value: JSON, place: String
    ) throws(RequestError) -> AnswerRules.Form {
        func wrong(_ expected: String) -> RequestError {
            RequestError(place, expected: expected, found: RequestFields.found(value))
        }
        switch kind {
        case "json":
            guard let text = value.string else {
                guard value.object != nil || value.bool != nil else {
                    throw wrong("a JSON schema, or a string with one")
                }
                return .schema(value, place: place)
            }
            let bytes = Array(text.utf8)
            do {
                return .schema(.object(try RequestBody.object(bytes)), place: place)
            } catch {
                throw RequestError(.invalidValue, "\(place): \(error.message)", param: place)
            }
        case "regex":
            guard let pattern = value.string else { throw wrong("a regular expression") }
            return .regex(pattern, place: place)
        case "choice":
            guard let values = value.array, !values.isEmpty else { throw wrong("a list of strings") }
            var strings: [String] = []
            for (index, item) in values.enumerated() {
                guard let string = item.string else {
                    throw RequestError("\(place)[\(index)]", expected: "a string", found: RequestFields.found(item))
                }
                strings.append(string)
            }
            return .choice(strings, place: place)
        default:
            guard value == .bool(true) else { throw wrong("true or false") }
            return .jsonObject
        }
    }
}
