//  Metrics by the names under which they are published, without the labels of the model.

/// One metric with its samples.
package struct MetricFamily: Sendable {
    package enum Kind: String, Sendable {
        case counter, gauge, histogram
    }

    package enum Value: Sendable, Equatable {
        case number(Double)
        case histogram(ServingHistogram)
    }

    package struct Sample: Sendable {
        /// Names and values, in order; the model's labels come on top.
        package let labels: [(name: String, value: String)]
        package let value: Value
    }

    package let name: String
    package let kind: Kind
    package let help: String
    package let samples: [Sample]

    init(_ kind: Kind, _ name: String, _ help: String, _ samples: [Sample]) {
        (self.kind, self.name, self.help, self.samples) = (kind, name, help, samples)
    }

    static func counter(_ name: String, _ help: String, _ value: Int) -> MetricFamily {
        MetricFamily(.counter, name, help, [Sample(labels: [], value: .number(Double(value)))])
    }

    static func gauge(_ name: String, _ help: String, _ value: Double) -> MetricFamily {
        MetricFamily(.gauge, name, help, [Sample(labels: [], value: .number(value))])
    }

    static func histogram(_ name: String, _ help: String, _ value: ServingHistogram) -> MetricFamily {
        MetricFamily(.histogram, name, help, [Sample(labels: [], value: .histogram(value))])
    }

    /// One sample for each case of a label.
    static func labelled<Label: Hashable>(
        _ kind: Kind, _ name: String, _ help: String, by label: String,
        _ values: some Sequence<(Label, Value)>, text: (Label) -> String
    ) -> MetricFamily {
        MetricFamily(
            kind, name, help, values.map { Sample(labels: [(label, text($0))], value: $1) })
    }
}
