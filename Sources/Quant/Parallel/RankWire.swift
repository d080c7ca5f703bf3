//  In what form activations travel between ranks. Every form gives the same bits, so the choice may
//  depend on the network.
//
//      float32     4 bytes a number
//      int8        1 byte a number and 4 a group, where all matrices that read it round it to int8 anyway
//      auto        int8 where the bytes that it saves take longer than the exchange that it may add

import DualityCore
import Foundation

/// What ranks send each other.
package struct RankWire: Sendable, Equatable {
    package enum Form: String, Sendable, CaseIterable {
        case float32, int8, auto
    }

    package let form: Form
    /// Seconds of an exchange of nothing, and of one further byte; of rank 0, for all to decide
    /// alike.
    private var start = 0.0
    private var secondsPerByte = 0.0
    /// Whether the residual stream is divided by rows; nil for passes of many rows where it saves
    /// bytes.
    var dividesStream: Bool?
    /// Fewer rows are not worth an exchange more.
    private static let rowsWorthDividing = 8

    /// - Parameter form: not `auto`, which is measured.
    package init(_ form: Form) {
        self.form = form
    }

    /// What `start` and `bytesPerSecond` make of `auto`.
    package init(start: Double, bytesPerSecond: Double) {
        (form, self.start, secondsPerByte) = (.auto, start, 1 / bytesPerSecond)
    }

    /// The form that all ranks were told; a network is measured for `auto`.
    ///
    /// - Parameter parts: the ranks that are to send each other parts, all at once; nil for all.
    /// - Throws: `InputError` (`.value`), the same on every rank, where they were told different
    ///   ones.
    package init(_ form: Form, on exchange: any RankExchange, among parts: (any PartExchange)? = nil) throws(InputError)
    {
        try exchange.requireSame([("--wire", form.rawValue)])
        let parts = parts ?? exchange
        guard form == .auto, parts.count > 1 else {
            self.init(form)
            return
        }
        let (small, large) = (64, 1 << 20)
        let own = [Self.seconds(small, parts), Self.seconds(large, parts)]
        let first = exchange.gatherTexts(own.withUnsafeBytes { Array($0) })[0]
        let seconds = first.withUnsafeBytes { bytes in
            (0..<2).map { bytes.loadUnaligned(fromByteOffset: 8 * $0, as: Double.self) }
        }
        let received = Double((parts.count - 1) * (large - small))
        self.init(start: seconds[0], bytesPerSecond: received / max(seconds[1] - seconds[0], 1e-9))
    }

    /// The median time of an exchange to which every rank gives `size` bytes.
    private static func seconds(_ size: Int, _ exchange: any PartExchange) -> Double {
        let own = [UInt8](repeating: 1, count: size)
        var all = [UInt8](repeating: 0, count: size * exchange.count)
        let sizes = Array(repeating: size, count: exchange.count)
        let times = (0..<5).map { _ in
            let begin = ContinuousClock.now
            own.withUnsafeBytes { own in
                all.withUnsafeMutableBytes { all in
                    if let own = own.baseAddress, let all = all.baseAddress {
                        exchange.gather(own, sizes: sizes, into: all)
                    }
                }
            }
            let (seconds, attoseconds) = (ContinuousClock.now - begin).components
            return Double(seconds) + Double(attoseconds) * 1e-18
        }
        return times.sorted()[times.count / 2]
    }

    /// Whether bytes are to be sent instead of float32.
    ///
    /// - Parameters:
    ///   - saved: bytes that each rank receives fewer.
    ///   - added: exchanges that there are more.
    func sendsBytes(saved: Int, added: Int) -> Bool {
        switch form {
        case .float32: false
        case .int8: true
        case .auto: Double(saved) * secondsPerByte > Double(added) * start
        }
    }

    /// Whether the residual stream of a pass is divided by rows.
    ///
    /// - Parameter saved: bytes that each rank receives fewer between two sublayers.
    func dividesStream(rows: Int, saved: Int) -> Bool {
        dividesStream
            ?? (rows >= Self.rowsWorthDividing && saved > 0 && sendsBytes(saved: saved, added: 1))
    }

    /// Seconds of an exchange of nothing and bytes per second, where they were measured.
    package var measured: (start: Double, bytesPerSecond: Double)? {
        secondsPerByte > 0 ? (start, 1 / secondsPerByte) : nil
    }

    /// For people: `auto (0.02 ms and 1.1 GB/s)`.
    package var text: String {
        guard form == .auto, secondsPerByte > 0 else { return form.rawValue }
        return String(format: "auto (%.3f ms per exchange, %.2f GB/s)", start * 1e3, 1e-9 / secondsPerByte)
    }
}
