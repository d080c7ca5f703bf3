//  A response as a whole.

import DualityCore

/// A status, headers and a body.
package struct Reply: Sendable, Equatable {
    package var status = 200
    package var headers: [String: String] = [:]
    package var contentType = "application/json"
    package var body: String

    package init(json: JSON) { body = json.serialized() }

    package init(_ error: RequestError) {
        status = error.status
        headers = error.headers
        body = error.json.serialized()
    }

    package init(text: String, contentType: String) {
        body = text
        self.contentType = contentType
    }
}
