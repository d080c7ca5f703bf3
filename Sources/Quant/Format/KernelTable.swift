//  The kernels of the instruction set that this process uses.

import DualityCore
import DualityKernels

/// The active table of kernels.
@dynamicMemberLookup
package struct KernelTable: @unchecked Sendable {
    private let table: UnsafePointer<dk_kernels>

    /// What `active` gives instead in tests that go through all tables of a machine.
    @TaskLocal static var forced: dk_isa?

    /// The table that DUALITY_ISA names, else the widest that the machine has.
    ///
    /// - Throws: `InputError` (`.value`) when the variable names what is unknown or not there.
    package static func active() throws(InputError) -> KernelTable {
        if let forced, let table = KernelTable(forced) { return table }
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
}
