//  The kernels of the instruction set that this process uses.

import DualityCore
import DualityKernels

/// The active table of kernels.
@dynamicMemberLookup
package struct KernelTable: @unchecked Sendable {
    private let table: UnsafePointer<dk_kernels>

    /// The table that DUALITY_ISA names, else the widest that the machine has.
    ///
    /// - Throws: `InputError` (`.value`) when the variable names what is unknown or not there.
    package static func active() throws(InputError) -> KernelTable {
        var message = [CChar](repeating: 0, count: 256)
        guard let table = dk_active(&message, Int64(message.count)) else {
            let end = message.firstIndex(of: 0) ?? message.count
            let text = String(decoding: message[..<end].map { UInt8(bitPattern: $0) }, as: UTF8.self)
            throw InputError(
                .value, in: "DUALITY_ISA", expected: "an instruction set that this machine has", found: text)
        }
        return KernelTable(table)
    }

    /// The table of one instruction set; nil when the machine or the build does not have it.
    init?(_ isa: dk_isa) {
        guard let table = dk_kernels_for(isa) else { return nil }
        self.table = table
    }

    private init(_ table: UnsafePointer<dk_kernels>) {
        self.table = table
    }

    @inline(__always)
    package subscript<Member>(dynamicMember member: KeyPath<dk_kernels, Member>) -> Member {
        table.pointee[keyPath: member]
    }

    package var name: String { String(cString: table.pointee.name) }
    package var summary: String { String(cString: table.pointee.summary) }

    /// How bfloat16 matrices are multiplied here: by the dot product where that has the higher
    /// rate, measured once.
    static let bf16Path: dk_bf16_path = {
        guard let kernels = try? active(), kernels.bf16Dot else { return DK_BF16_FMA }
        /// Operations a second, the best of three.
        func rate(_ probe: (Int64) -> Double) -> Double {
            var best = 0.0
            for _ in 0..<3 {
                let start = ContinuousClock.now
                let operations = probe(20_000)
                best = max(best, operations / (ContinuousClock.now - start).seconds)
            }
            return best
        }
        // The two rates differ by a factor of two one way or the other; in between, the more exact
        // one.
        return rate(kernels.probe_bf16) > 1.2 * rate(kernels.probe_f32) ? DK_BF16_DOT : DK_BF16_FMA
    }()
}
