//  Golden files: what the official scorers said, and whether a report says the same.

import DualityCore
import TestSupport
import Testing

enum Golden {
    static func path(_ name: String) -> String { Fixtures.path("evaluation/\(name)") }

    static func json(_ name: String) throws -> JSON { try JSON(contentsOf: path(name)) }

    /// The places where a value differs from what is expected: every expected key must be there,
    /// numbers within a tolerance, everything else exactly.
    static func differences(_ found: JSON?, _ expected: JSON, at place: String = "", tolerance: Double = 1e-9)
        -> [String]
    {
        switch expected {
        case .object(let object):
            return object.members.filter { $0.name != "algebra" }.flatMap {
                differences(found?[$0.name], $0.value, at: "\(place).\($0.name)", tolerance: tolerance)
            }
        case .array(let values):
            guard let list = found?.array, list.count == values.count else {
                return ["\(place): \(found?.serialized() ?? "nothing") for \(expected.serialized())"]
            }
            return values.indices.flatMap {
                differences(list[$0], values[$0], at: "\(place)[\($0)]", tolerance: tolerance)
            }
        case .number:
            if let a = found?.double, let b = expected.double, abs(a - b) <= tolerance { return [] }
        default:
            if found == expected { return [] }
        }
        return ["\(place): \(found?.serialized() ?? "nothing") for \(expected.serialized())"]
    }
}
