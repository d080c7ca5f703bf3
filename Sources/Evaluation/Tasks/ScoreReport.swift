//  The scores of a file of predictions, as `--score-only` prints them.

import DualityCore

/// The scores of one task's predictions.
package struct ScoreReport: Sendable {
    package let task: String
    package let summary: TaskSummary
    package let items: [(id: JSON, score: ItemScore)]

    /// Scores all predictions.
    ///
    /// - Throws: `InputError` of the first row that cannot be scored; nothing is scored then.
    package init(_ task: any EvaluationTask, _ predictions: [Prediction]) throws(InputError) {
        var items: [(id: JSON, score: ItemScore)] = []
        for prediction in predictions {
            items.append((prediction.id, try task.score(prediction.doc, prediction.response)))
        }
        self.task = task.name
        self.items = items
        summary = task.summary(items.map(\.score))
    }

    package var json: JSON {
        var object: JSON.Object = [
            "task": .string(task), "n": JSON(items.count), "primary": .string(summary.primary),
            "score": JSON(summary.score), "metrics": Self.object(summary.metrics),
        ]
        if !summary.groups.isEmpty { object.append("groups", Self.object(summary.groups)) }
        object.append(
            "items",
            .array(
                items.map { id, score in
                    var item: JSON.Object = ["id": id, "scores": score.scoresJSON]
                    if let extracted = score.extracted { item.append("extracted", extracted) }
                    return .object(item)
                }))
        return .object(object)
    }

    package static func object(_ values: [(name: String, value: Double)]) -> JSON {
        var object = JSON.Object()
        for (name, value) in values { object.append(name, JSON(value)) }
        return .object(object)
    }
}
