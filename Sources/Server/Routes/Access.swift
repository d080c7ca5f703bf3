//  Who may ask: keys, and pages of other origins.

/// The rules of access.
package struct Access: Sendable {
    private let keys: [[UInt8]]
    private let origins: [String]

    /// - Parameters:
    ///   - keys: none for everybody.
    ///   - origins: beside those of this machine; `*` for all.
    package init(keys: [String], origins: [String]) {
        self.keys = keys.map { Array($0.utf8) }
        self.origins = origins
    }

    // MARK: Keys

    /// Whether a request with this `Authorization` may be answered. Takes the same time whatever is
    /// wrong.
    package func allows(authorization: String?) -> Bool {
        guard !keys.isEmpty else { return true }
        let value = authorization ?? ""
        let scheme = value.prefix { $0 != " " }
        let isBearer = scheme.lowercased() == "bearer"
        let given = Array(value.dropFirst(scheme.count).drop { $0 == " " }.utf8)
        var isKnown = false
        for key in keys {
            var difference = given.count ^ key.count
            for index in key.indices {
                difference |= Int(key[index] ^ (given.isEmpty ? 0 : given[index % given.count]))
            }
            isKnown = isKnown || difference == 0
        }
        return isBearer && isKnown
    }

    package static var refusal: RequestError {
        var error = RequestError(.invalidKey, "The key is missing or wrong: send Authorization: Bearer KEY.")
        error.headers["WWW-Authenticate"] = "Bearer"
        return error
    }

    // MARK: Origins

    /// What `Access-Control-Allow-Origin` says to a page; nil for nothing.
    package func allowedOrigin(_ origin: String) -> String? {
        if origins.contains("*") { return "*" }
        return origins.contains(origin) || Self.isLoopback(origin) ? origin : nil
    }

    private static func isLoopback(_ origin: String) -> Bool {
        for host in ["http://localhost", "http://127.0.0.1", "http://[::1]"] where origin.hasPrefix(host) {
            let rest = origin.dropFirst(host.count)
            if rest.isEmpty { return true }
            let port = rest.dropFirst()
            return rest.first == ":" && 1...5 ~= port.count && port.utf8.allSatisfy { 0x30...0x39 ~= $0 }
        }
        return false
    }
}
