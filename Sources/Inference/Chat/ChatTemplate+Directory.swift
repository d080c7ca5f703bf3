//  The template of a checkpoint.
//
//  Where it stands, the first that is there: `chat_template.jinja`, `chat_template.json`, or
//  `chat_template` in tokenizer_config.json, which is a program or a list of named ones. Further
//  ones lie in `additional_chat_templates/`. The one that is named `tool_use` is for conversations
//  with tools.

import DualityCore
import Foundation

extension ChatTemplate {
    /// Reads the template of a checkpoint.
    ///
    /// - Parameter name: one of the checkpoint's named templates; nil for the default.
    /// - Throws: `InputError`: `.missing` when there is none (of that name), and as `init(jinja:)`.
    public init(directory: String, named name: String? = nil) throws(InputError) {
        let found = try Self.programs(in: directory)
        if let name {
            guard let program = found.first(where: { $0.name == name }) else {
                throw InputError(
                    .missing, in: directory, expected: "a template named \(name)",
                    found: found.isEmpty ? "no templates" : found.map(\.name).joined(separator: ", "))
            }
            try self.init(jinja: program.source, place: program.place)
        } else {
            guard let main = found.first(where: { $0.name == "default" }) else {
                throw InputError(
                    .missing, in: directory,
                    expected: "a chat template: chat_template.jinja, or in tokenizer_config.json",
                    found: found.isEmpty ? "none" : "only those named \(found.map(\.name).joined(separator: ", "))",
                    remedy: Self.remedy)
            }
            try self.init(jinja: main.source, place: main.place)
            if let tools = found.first(where: { $0.name == "tool_use" }) {
                toolUse = try ChatTemplateProgram(tools.source, place: tools.place)
            }
        }
        specialTokens = try Self.specialTokens(in: directory)
    }

    /// A template by what a person calls it: a name of `names`, a template of the checkpoint's own
    /// by its name, or a file.
    ///
    /// - Parameter directory: the checkpoint, whose special tokens the template writes.
    public init(choice: String, directory: String?) throws(InputError) {
        let isFile = choice.contains("/") || choice.hasSuffix(".jinja")
        if Self.names.contains(choice) {
            try self.init(named: choice)
        } else if !isFile, let directory, try Self.programs(in: directory).contains(where: { $0.name == choice }) {
            try self.init(directory: directory, named: choice)
        } else if isFile || FileManager.default.fileExists(atPath: choice) {
            let source = try Self.text(of: choice)
            guard source.contains(where: { !$0.isWhitespace }) else {
                throw InputError(.malformed, in: choice, expected: "a Jinja template", found: "an empty file")
            }
            try self.init(jinja: source, place: choice)
        } else {
            try self.init(named: choice)
        }
        if let directory {
            let own = try Self.specialTokens(in: directory)
            if !own.isEmpty { specialTokens = own }
        }
    }

    private struct Program {
        let name: String
        let source: String
        let place: String
    }

    private static func programs(in directory: String) throws(InputError) -> [Program] {
        var found: [Program] = []
        func exists(_ name: String) -> Bool { FileManager.default.fileExists(atPath: "\(directory)/\(name)") }
        if exists("chat_template.jinja") {
            let path = "\(directory)/chat_template.jinja"
            found.append(Program(name: "default", source: try text(of: path), place: path))
        }
        let folder = "\(directory)/additional_chat_templates"
        for file in ((try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []).sorted()
        where file.hasSuffix(".jinja") {
            let path = "\(folder)/\(file)"
            found.append(Program(name: String(file.dropLast(6)), source: try text(of: path), place: path))
        }
        for file in ["chat_template.json", "tokenizer_config.json"] where exists(file) {
            let path = "\(directory)/\(file)"
            let place = "\(path): chat_template"
            switch try JSON(contentsOf: path)["chat_template"] ?? .null {
            case .null: break
            case .string(let source): found.append(Program(name: "default", source: source, place: place))
            case .array(let list):
                for (index, item) in list.enumerated() {
                    guard let name = item["name"]?.string, let source = item["template"]?.string else {
                        throw InputError(
                            .json, in: "\(place)[\(index)]", expected: "an object with name and template",
                            found: item.kindName)
                    }
                    found.append(Program(name: name, source: source, place: "\(place) (\(name))"))
                }
            case .object(let members):
                for (name, value) in members.members {
                    guard let source = value.string else { continue }
                    found.append(Program(name: name, source: source, place: "\(place) (\(name))"))
                }
            case let other:
                throw InputError(.json, in: place, expected: "a string or a list", found: other.kindName)
            }
        }
        // A blank template is none.
        return found.filter { $0.source.contains(where: { !$0.isWhitespace }) }
    }

    private static func text(of path: String) throws(InputError) -> String {
        let bytes = try MappedFile(path: path).withBytes { Array($0.prefix(JinjaLimits.source + 1)) }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw InputError(
                .malformed, in: path, expected: "a Jinja template, which is text", found: "bytes that are not UTF-8")
        }
        return text
    }

    /// The tokens that have a role, from special_tokens_map.json and tokenizer_config.json.
    static func specialTokens(in directory: String) throws(InputError) -> [SpecialToken] {
        var tokens: [SpecialToken] = []
        for file in ["tokenizer_config.json", "special_tokens_map.json"] {
            let path = "\(directory)/\(file)"
            guard FileManager.default.fileExists(atPath: path) else { continue }
            guard let object = try JSON(contentsOf: path).object else { continue }
            for (name, value) in object.members where name.hasSuffix("_token") {
                guard let text = value.string ?? value["content"]?.string,
                    !tokens.contains(where: { $0.name == name })
                else { continue }
                tokens.append(SpecialToken(name: name, text: text))
            }
        }
        return tokens
    }
}
