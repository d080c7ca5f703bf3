//  Texts: requests, templates, schemas, patterns, answers and the options of the C interface.

import CDualitySSD
import DualityCInterface
import DualityCore
import DualityInference
import Foundation

extension FuzzTarget {
    func readChat(_ bytes: [UInt8]) throws {
        let json = try bytes.withUnsafeBytes { try JSON(parsing: $0, place: "request") }
        let request = try ChatRequest(json, place: "request")
        for name in ChatTemplate.names {
            do { _ = try ChatTemplate(named: name).prompt(request) } catch {}
        }
    }

    func readTemplate(_ bytes: [UInt8]) throws {
        let template = try ChatTemplate(jinja: String(decoding: bytes, as: UTF8.self))
        for chat in FuzzSeeds.chats {
            let request = try ChatRequest(JSON(parsing: chat), place: "request")
            do { _ = try template.prompt(request) } catch {}
        }
    }

    private static let trie: TokenTrie? = {
        let path = "\(NSTemporaryDirectory())/duality-trie-\(UInt64.random(in: 0 ... .max)).json"
        defer { try? FileManager.default.removeItem(atPath: path) }
        guard FileManager.default.createFile(atPath: path, contents: Data(FuzzSeeds.tokenizer.utf8)),
            let tokenizer = try? Tokenizer(file: path)
        else { return nil }
        return TokenTrie(tokenizer, endTokens: [257], size: 262)
    }()

    /// Compiles rules, and walks a few tokens into what they allow.
    func compile(_ bytes: [UInt8], _ form: ([UInt8]) throws -> AnswerRules.Form) throws {
        guard let trie = Self.trie else { preconditionFailure("the tokenizer of the seeds is not read") }
        var rules = AnswerRules()
        rules.form = try form(bytes)
        guard var constraint = try ConstraintCompiler(trie, capacity: 1).constraint(rules) else { return }
        for step in 0..<24 {
            let mask = try constraint.mask()
            let allowed = (0..<257).filter { mask.contains($0) }
            guard !allowed.isEmpty else {
                precondition(
                    constraint.isComplete || mask.contains(257), "nothing may follow, and the answer is not complete")
                return
            }
            try constraint.advance(by: allowed[(step * 7) % allowed.count])
        }
    }

    func readAnswer(_ bytes: [UInt8]) {
        let text = String(decoding: bytes, as: UTF8.self)
        for thought in [AnswerRules.Thought.none, .possible, .open] {
            var whole = AnswerParser(thought: thought, tools: ["add", "f"])
            _ = whole.push(text)
            _ = whole.finish()
            var pieces = AnswerParser(thought: thought, tools: ["add", "f"])
            for character in text { _ = pieces.push(String(character)) }
            _ = pieces.finish()
        }
    }

    /// Options of every call of the C interface that computes little.
    func readOptions(_ bytes: [UInt8]) {
        let numbers: [Float] = [0.5, -0.25, 1, 2]
        let shapes: [(String, [Int64])] = [
            ("x", [1, 2, 1, 2]), ("dt", [1, 2, 1]), ("A", [1]), ("B", [1, 2, 1, 1]), ("C", [1, 2, 1, 1]),
        ]
        (bytes.filter { $0 != 0 } + [0]).withUnsafeBufferPointer { text in
            text.withMemoryRebound(to: CChar.self) { options in
                withOperands(shapes, numbers) { operands, count in
                    for call in [callSSD, callBound] {
                        let result = call(operands, count, options.baseAddress)
                        _ = statusOfResult(result)
                        _ = textOfResult(result, "error")
                        freeResult(result)
                    }
                }
            }
        }
    }

    private func withOperands(
        _ shapes: [(String, [Int64])], _ numbers: [Float],
        _ body: (UnsafePointer<duality_tensor>?, Int64) -> Void
    ) {
        numbers.withUnsafeBytes { data in
            "F32".withCString { dtype in
                func add(_ index: Int, _ tensors: [duality_tensor]) {
                    guard index < shapes.count else {
                        tensors.withUnsafeBufferPointer { body($0.baseAddress, Int64($0.count)) }
                        return
                    }
                    shapes[index].0.withCString { name in
                        shapes[index].1.withUnsafeBufferPointer { shape in
                            let tensor = duality_tensor(
                                name: name, dtype: dtype, data: data.baseAddress, rank: Int64(shape.count),
                                shape: shape.baseAddress, strides: nil)
                            add(index + 1, tensors + [tensor])
                        }
                    }
                }
                add(0, [])
            }
        }
    }
}
