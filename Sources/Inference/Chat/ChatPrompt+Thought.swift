//  Whether an answer begins with a thought: what the end of its prompt says.

import Foundation

extension AnswerRules.Thought {
    /// The thought of an answer to a prompt of a model that thinks in the format of Qwen3.
    ///
    /// - Parameter mayBegin: whether the answer may open a thought where the prompt did not.
    package init(behind prompt: ChatPrompt, mayBegin: Bool) {
        let start = prompt.generationPrompt ?? prompt.turns.last ?? 0
        let end = String(decoding: prompt.text.utf8.dropFirst(start), as: UTF8.self)
        let opened = end.range(of: "<think>", options: .backwards)
        let closed = end.range(of: "</think>", options: .backwards)
        if let opened, closed.map({ $0.lowerBound < opened.lowerBound }) ?? true {
            self = .open
        } else {
            self = closed == nil && mayBegin ? .possible : .none
        }
    }
}
