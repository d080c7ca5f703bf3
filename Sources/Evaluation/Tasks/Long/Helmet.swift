//  HELMET: recall, retrieval, many-shot classification, re-ranking and summaries at length.
//
//  Every metric is taken of the raw output and of what its answer prefix introduces, and the better
//  one counts. A category is the mean of its sets, the score the mean of the categories present.

import DualityCore

package struct Helmet: EvaluationTask {
    package let name = "helmet"
    package let primary = "score"

    package init() {}

    package enum Category: String, CaseIterable, Sendable {
        case recall, rag, icl, rerank, summ
    }

    /// Category of a set by the beginning of its name.
    package static func category(of dataset: String) -> Category? {
        let beginnings: [(String, Category)] = [
            ("json_kv", .recall), ("ruler_", .recall), ("nq", .rag), ("triviaqa", .rag), ("hotpotqa", .rag),
            ("popqa", .rag), ("kilt_", .rag), ("icl_", .icl), ("msmarco_rerank", .rerank), ("infbench_sum", .summ),
            ("multi_lexsum", .summ),
        ]
        return beginnings.first { dataset.hasPrefix($0.0) }?.1
    }

    private func category(_ doc: JSONFields) throws(InputError) -> (dataset: String, category: Category) {
        let dataset = try doc.requiredString("dataset")
        guard let category = Self.category(of: dataset) else {
            throw InputError(
                .unknown, in: doc.place(of: "dataset"),
                expected:
                    "a set of HELMET: json_kv, ruler_…, nq, triviaqa, hotpotqa, popqa_…, icl_…, msmarco_rerank_…, infbench_sum, multi_lexsum",
                found: dataset)
        }
        return (dataset, category)
    }

    package func score(_ doc: JSONFields, _ response: Response) throws(InputError) -> ItemScore {
        let (dataset, category) = try category(doc)
        let output = Scalars(try response.text(doc))
        var item: ItemScore
        switch category {
        case .recall where dataset.hasPrefix("ruler_"):
            let golds = try doc.stringOrStrings("answer")
            guard !golds.isEmpty else { throw doc.missing("answer", "at least one reference") }
            let lower = output.lowered
            let found = golds.filter { lower.holds(Scalars($0).lowered) }.count
            let value = Double(found) / Double(golds.count)
            item = ItemScore([("score", .number(value)), ("ruler_recall", .number(value))])
        case .recall, .rag:
            let prefix = category == .recall ? "Corresponding value:" : "Answer:"
            let scores = try answers(doc, [output, HelmetAnswer.parsed(output, prefix: prefix)])
            item = ItemScore([("score", scores[2].value)] + scores)
        case .icl:
            let scores = try answers(doc, [HelmetAnswer.parsed(output, prefix: "label:")])
            item = ItemScore([("score", scores[0].value), scores[0]])
        case .rerank:
            let value = MetricValue.number(try HelmetRanking.gain(output, doc))
            item = ItemScore([("score", value), ("NDCG@10", value)])
        case .summ:
            let golds = try doc.stringOrStrings("answer").map { HelmetAnswer.normalized(Scalars($0)).words }
            let words = HelmetAnswer.normalized(output).words
            let value = MetricValue.number(golds.map { HelmetAnswer.longestCommonF1(words, $0) }.max() ?? 0)
            item = ItemScore([("score", value), ("rougeL", value)])
        }
        (item.group, item.set) = (category.rawValue, dataset)
        return item
    }

    private func answers(_ doc: JSONFields, _ outputs: [Scalars]) throws(InputError) -> [(
        name: String, value: MetricValue
    )] {
        let golds = try doc.stringOrStrings("answer").map { HelmetAnswer.normalized(Scalars($0)) }
        guard !golds.isEmpty else { throw doc.missing("answer", "at least one answer") }
        let texts = outputs.map { HelmetAnswer.normalized($0) }
        func best(_ metric: (Scalars, Scalars) -> Double) -> MetricValue {
            .number(texts.flatMap { text in golds.map { metric(text, $0) } }.max() ?? 0)
        }
        return [
            ("exact_match", best { $0 == $1 ? 1 : 0 }), ("f1", best(HelmetAnswer.f1)),
            ("substring_exact_match", best { $0.holds($1) ? 1 : 0 }),
        ]
    }

    package func summary(_ items: [ItemScore]) -> TaskSummary {
        var order: [String] = []
        for item in items { if let group = item.group, !order.contains(group) { order.append(group) } }
        let groups = order.map { group -> (name: String, value: Double) in
            let sets = groupMeans(items.filter { $0.group == group }, by: { $0.set }) { $0.value("score")?.number }
            return (group, mean(sets.map(\.value)))
        }
        return TaskSummary(
            primary: primary, metrics: [("score", mean(groups.map(\.value)))], groups: groups)
    }

    package func request(_ doc: JSONFields, examples: [JSONFields], isChat: Bool) throws(InputError) -> TaskRequest {
        let (dataset, category) = try category(doc)
        let stops = category == .recall || category == .summ ? [] : ["\n"]
        let limit = Self.limit(dataset)
        let kind = TaskRequest.Kind.generate(.init(maxTokens: limit, stop: stops))
        let text = try doc.requiredString("input")
        return isChat && category == .summ
            ? TaskRequest(messages: [.init(role: "user", content: text)], kind: kind)
            : TaskRequest(messages: [], text: text, kind: kind)
    }

    /// The most tokens of an answer.
    static func limit(_ dataset: String) -> Int {
        switch category(of: dataset) {
        case .recall: dataset.hasPrefix("ruler_niah_mk_3") || dataset == "json_kv" ? 100 : 50
        case .rag, .icl: 20
        case .rerank: 200
        case .summ: dataset.hasPrefix("infbench") ? 1200 : 400
        case nil: 100
        }
    }
}
