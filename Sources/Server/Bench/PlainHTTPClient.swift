//  A small HTTP/1.1 client on a blocking socket, for measuring: every byte of a response is handed
//  over as it comes.

import DualityCore
import Foundation

/// Sends requests to one server, each on a connection of its own.
package struct PlainHTTPClient: Sendable {
    private let host: String
    private let port: Int
    private let base: String
    private let key: String?

    /// - Throws: `InputError` (`.value`) for an address that is not `http://HOST[:PORT]`.
    package init(_ url: String, key: String?) throws(InputError) {
        guard let parts = URLComponents(string: url), parts.scheme == "http", let host = parts.host, !host.isEmpty
        else {
            throw InputError(.value, in: "URL", expected: "an address such as http://127.0.0.1:8000", found: url)
        }
        self.host = host.hasPrefix("[") ? String(host.dropFirst().dropLast()) : host
        port = parts.port ?? 80
        var path = parts.path
        while path.hasSuffix("/") { path.removeLast() }
        base = path.hasSuffix("/v1") ? String(path.dropLast(3)) : path
        self.key = key
    }

    /// The status and the body of a request.
    package func request(_ method: String, _ path: String, _ body: JSON? = nil) throws(InputError) -> (Int, [UInt8]) {
        var bytes: [UInt8] = []
        let status = try request(method, path, body) { bytes += $0 }
        return (status, bytes)
    }

    /// Hands over the body of a response piece by piece, without the framing of chunks.
    ///
    /// - Returns: the status.
    /// - Throws: `InputError` (`.inaccessibleFile`) when the server cannot be reached or breaks
    ///   off.
    package func request(
        _ method: String, _ path: String, _ body: JSON?, _ take: (ArraySlice<UInt8>) -> Void
    ) throws(InputError) -> Int {
        let socket = try connected()
        defer { close(socket) }
        let data = body.map { Array($0.serialized().utf8) } ?? []
        var head = "\(method) \(base)\(path) HTTP/1.1\r\nHost: \(host):\(port)\r\nConnection: close\r\n"
        if let key { head += "Authorization: Bearer \(key)\r\n" }
        if body != nil { head += "Content-Type: application/json\r\nContent-Length: \(data.count)\r\n" }
        try send(Array((head + "\r\n").utf8) + data, to: socket)
        var reader = ResponseReader()
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        while !reader.isOver {
            let count = recv(socket, &buffer, buffer.count, 0)
            if count < 0 { throw failure("an answer", errno) }
            if count == 0 { break }
            reader.push(buffer[..<count], take)
        }
        guard let status = reader.status else { throw failure("an answer", 0) }
        return status
    }

    private func failure(_ expected: String, _ code: Int32) -> InputError {
        InputError(
            .inaccessibleFile, in: "http://\(host):\(port)", expected: expected,
            found: code == 0 ? "the end of the connection" : String(cString: strerror(code)))
    }

    private func connected() throws(InputError) -> Int32 {
        var hints = addrinfo()
        #if os(Linux)
            hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        #else
            hints.ai_socktype = SOCK_STREAM
        #endif
        var found: UnsafeMutablePointer<addrinfo>?
        guard getaddrinfo(host, String(port), &hints, &found) == 0 else { throw failure("a host of this name", ENOENT) }
        defer { freeaddrinfo(found) }
        var code: Int32 = ENOENT
        var next = found
        while let address = next?.pointee {
            let socket = socket(address.ai_family, address.ai_socktype, address.ai_protocol)
            if socket >= 0 {
                if connect(socket, address.ai_addr, address.ai_addrlen) == 0 {
                    var yes: Int32 = 1
                    setsockopt(socket, Int32(IPPROTO_TCP), TCP_NODELAY, &yes, socklen_t(MemoryLayout<Int32>.size))
                    return socket
                }
                code = errno
                close(socket)
            }
            next = address.ai_next
        }
        throw failure("a server that listens", code)
    }

    private func send(_ bytes: [UInt8], to socket: Int32) throws(InputError) {
        var sent = 0
        while sent < bytes.count {
            let count = bytes.withUnsafeBytes { buffer in
                Foundation.send(socket, buffer.baseAddress! + sent, buffer.count - sent, Self.sendFlags)
            }
            if count < 0 { throw failure("a server that reads", errno) }
            sent += count
        }
    }

    /// A server that closes the connection is an error, not a signal.
    private static var sendFlags: Int32 {
        #if os(Linux)
            Int32(MSG_NOSIGNAL)
        #else
            0
        #endif
    }
}

/// Takes a response apart while it arrives.
struct ResponseReader {
    private enum Part {
        case head
        case length(left: Int)
        case untilClose
        case chunkSize
        case chunk(left: Int)
        case chunkEnd
        case over
    }

    private var part = Part.head
    private var held: [UInt8] = []
    private(set) var status: Int?

    var isOver: Bool { if case .over = part { true } else { false } }

    mutating func push(_ bytes: ArraySlice<UInt8>, _ take: (ArraySlice<UInt8>) -> Void) {
        held += bytes
        while step(take) {}
    }

    /// Whether another step may follow.
    private mutating func step(_ take: (ArraySlice<UInt8>) -> Void) -> Bool {
        switch part {
        case .over: return false
        case .untilClose:
            take(held[...])
            held = []
            return false
        case .length(let left), .chunk(let left):
            let count = min(left, held.count)
            guard count > 0 else { return false }
            take(held[..<count])
            held.removeFirst(count)
            if case .chunk = part {
                part = count == left ? .chunkEnd : .chunk(left: left - count)
            } else {
                part = count == left ? .over : .length(left: left - count)
            }
            return true
        case .head:
            guard let lines = upTo("\r\n\r\n") else { return false }
            readHead(lines)
            return true
        case .chunkSize:
            guard let line = upTo("\r\n") else { return false }
            let size = Int(line.prefix { $0.isHexDigit }, radix: 16) ?? 0
            part = size == 0 ? .over : .chunk(left: size)
            return true
        case .chunkEnd:
            guard upTo("\r\n") != nil else { return false }
            part = .chunkSize
            return true
        }
    }

    private mutating func upTo(_ mark: String) -> String? {
        let mark = Array(mark.utf8)
        guard held.count >= mark.count,
            let place = (0...held.count - mark.count).first(where: { held[$0..<$0 + mark.count].elementsEqual(mark) })
        else { return nil }
        defer { held.removeFirst(place + mark.count) }
        return String(decoding: held[..<place], as: UTF8.self)
    }

    private mutating func readHead(_ text: String) {
        let lines = text.split(separator: "\r\n")
        let code = lines.first?.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0
        if 100..<200 ~= code { return }
        status = code
        part = .untilClose
        for line in lines.dropFirst() {
            let halves = line.split(separator: ":", maxSplits: 1).map { $0.trimmingCharacters(in: .whitespaces) }
            guard halves.count == 2 else { continue }
            switch halves[0].lowercased() {
            case "content-length": part = Int(halves[1]).map { $0 == 0 ? .over : .length(left: $0) } ?? part
            case "transfer-encoding" where halves[1].lowercased().contains("chunked"): part = .chunkSize
            default: break
            }
        }
    }
}
