//  A conversation as text, and where in it things stand.

/// What a template makes of a conversation.
public struct ChatPrompt: Sendable, Equatable {
    /// The whole prompt, the markers of the template among it.
    public var text: String
    /// Where the text of each message begins, as UTF-8 offsets, ascending; the first is 0. Of
    /// messages whose text begins at one place, it is there once.
    public var turns: [Int] = [0]
    /// Where the beginning of the assistant's next message stands, when the prompt ends with it.
    public var generationPrompt: Int?
    /// What the conversation wrote and not the template, as ranges of UTF-8 offsets, ascending and
    /// not touching. Markers of structure that are typed there are text.
    public var content: [Range<Int>] = []
    /// What the template did not look at, a sentence each.
    public var warnings: [String] = []
}

extension ChatPrompt {
    /// A text without a conversation.
    package init(text: String) {
        self.init(text: text, turns: [0])
    }
}

extension Tokenizer {
    /// The tokens of a prompt: special tokens are sought in the template's own text only.
    public func encode(_ prompt: ChatPrompt) -> [Int] {
        encode(prompt.text, asTextOnly: prompt.content)
    }
}
