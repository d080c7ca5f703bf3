import DualityKernels
import Testing

/// The environment variable chooses the table, and a wish that cannot be met is refused.
@Suite struct DispatchTests {
    private func select(_ wanted: String?) -> (name: String?, message: String) {
        var message = [CChar](repeating: 0, count: 256)
        let table = dk_select(wanted, &message, message.count.wide)
        let text = String(decoding: message.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        return (table.map { String(cString: $0.pointee.name) }, text)
    }

    @Test(arguments: Table.all)
    func aTableIsFoundByItsName(table: Table) {
        #expect(select(String(cString: table.kernels.name)).name == String(cString: table.kernels.name))
    }

    @Test(arguments: [nil, ""])
    func withoutAWishItIsTheWidest(wish: String?) {
        #expect(select(wish).name == Table.all.last?.testDescription)
    }

    @Test func anUnknownNameIsRefusedWithWhatThereIs() {
        let (name, message) = select("avx9000")
        #expect(name == nil)
        #expect(message.contains("avx9000") && message.contains("scalar"), "\(message)")
    }

    @Test func anInstructionSetOfAnotherMachineIsRefused() {
        let missing = ["avx2", "avx512", "neon", "amx"].filter { name in
            !Table.all.contains { $0.testDescription == name }
        }
        for name in missing {
            #expect(select(name).name == nil)
            #expect(select(name).message.contains("cannot run"))
        }
    }
}
