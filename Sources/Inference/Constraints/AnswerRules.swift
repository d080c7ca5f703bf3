//  What an answer may be: a thought, and then text, a document of a given form, or calls of tools.

import DualityCore

/// The rules of one request's answers.
public struct AnswerRules: Sendable, Equatable {
    /// Whether a thought stands before the answer; it ends with `</think>`.
    public enum Thought: Sendable, Equatable {
        /// Everything is the answer.
        case none
        /// The answer may begin with `<think>`.
        case possible
        /// The prompt ends with `<think>`: the answer begins inside the thought.
        case open
    }

    /// What the answer behind the thought consists of when it calls no tool.
    public enum Form: Sendable, Equatable {
        /// Any text.
        case text
        /// A JSON object of any content.
        case jsonObject
        /// A JSON document that fits a schema.
        ///
        /// - Parameter place: what the schema is called in complaints.
        case schema(JSON, place: String)
        /// A text that matches as a whole.
        case regex(String, place: String)
        /// One of these texts.
        case choice([String], place: String)
    }

    /// A tool that can be called.
    public struct Tool: Sendable, Equatable {
        /// What a call must write behind `"name"`.
        public var name: String
        /// The schema of its arguments; nil for an object of any content.
        public var parameters: JSON?
        /// What the schema is called in complaints: `tools[0].function.parameters`.
        public var place: String

        /// A tool for the rules; the schema is read when they are compiled.
        public init(name: String, parameters: JSON?, place: String) {
            self.name = name
            self.parameters = parameters
            self.place = place
        }
    }

    /// Which tools are called.
    public enum ToolChoice: Sendable, Equatable {
        /// Text or calls, as the model likes.
        case auto
        /// At least one call, of any tool.
        case required
        /// One call of this tool.
        case named(String)
    }

    /// Whether the answer begins with a thought, which the other rules do not bind.
    public var thought = Thought.none
    /// What an answer without calls consists of, behind the thought.
    public var form = Form.text
    /// The tools that may be called; none when calls are only text.
    public var tools: [Tool] = []
    /// Whether tools are called, and which; means nothing without `tools`.
    public var toolChoice = ToolChoice.auto
    /// Whether there may be more calls than one.
    public var allowsParallelCalls = true

    public init() {}

    /// Whether anything is forbidden: without it every token may come at any time.
    public var isConstraining: Bool { form != .text || !tools.isEmpty }
}
