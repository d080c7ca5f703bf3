import DualityServer
import Testing

/// Keys, origins and addresses.
@Suite struct AccessTests {
    @Test func aKeyIsWanted() {
        let access = Access(keys: ["one", "second"], origins: [])
        for given in ["Bearer one", "bearer second", "BEARER  one"] { #expect(access.allows(authorization: given)) }
        for given in [nil, "", "one", "Basic one", "Bearer", "Bearer ", "Bearer on", "Bearer onee", "Bearer oneone"] {
            #expect(!access.allows(authorization: given), "\(given ?? "nil")")
        }
        #expect(Access(keys: [], origins: []).allows(authorization: nil))
    }

    @Test func originsAreComparedWhole() {
        let access = Access(keys: [], origins: ["https://a.example"])
        for origin in [
            "http://localhost", "http://localhost:3000", "http://127.0.0.1:1", "http://[::1]:80", "https://a.example",
        ] {
            #expect(access.allowedOrigin(origin) == origin)
        }
        for origin in [
            "http://localhost.evil.example", "http://localhost:80.evil", "http://localhost:", "https://a.example.b",
            "null",
            "http://127.0.0.1.evil", "https://b.example",
        ] {
            #expect(access.allowedOrigin(origin) == nil, "\(origin)")
        }
        #expect(Access(keys: [], origins: ["*"]).allowedOrigin("https://b.example") == "*")
    }

    @Test func routesAreFound() throws {
        #expect(try Route.find("POST", "/v1/chat/completions") == .chat)
        #expect(try Route.find("HEAD", "/health") == .health)
        #expect(try Route.find("GET", "/v1/models/a%2Fb") == .model("a/b"))
        #expect(try Route.find("GET", "/v1/models/a/b") == .model("a/b"))
        func error(_ method: String, _ path: String) -> RequestError? {
            do throws(RequestError) {
                _ = try Route.find(method, path)
                return nil
            } catch {
                return error
            }
        }
        #expect(error("GET", "/nothing")?.status == 404)
        #expect(error("POST", "/v1/responses")?.message.contains("/v1/chat/completions") == true)
        #expect(error("GET", "/v1/completions")?.headers["Allow"] == "POST, OPTIONS")
        #expect(error("DELETE", "/v1/models")?.status == 405)
    }
}
