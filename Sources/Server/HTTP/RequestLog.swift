//  One line for each request, without texts and without keys.

import Foundation

/// Where lines about requests go.
package struct RequestLog: Sendable {
    private let isOn: Bool

    package init(isOn: Bool) {
        self.isOn = isOn
    }

    package func write(_ line: String) {
        guard isOn else { return }
        let time = Date().formatted(.iso8601)
        FileHandle.standardError.write(Data("\(time) \(line)\n".utf8))
    }
}
