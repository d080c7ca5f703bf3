//  What the tests of the kernels share: the tables this machine has, memory, random numbers,
//  comparison of bits.

import DualityCore
import DualityKernels
import Testing

/// A table of kernels, named after its instruction set in the output of tests. Its functions are
/// constants and share nothing.
struct Table: CustomTestStringConvertible, @unchecked Sendable {
    let kernels: dk_kernels
    let testDescription: String

    init(_ kernels: dk_kernels, name: String? = nil) {
        self.kernels = kernels
        testDescription = name ?? String(cString: kernels.name)
    }

    /// All that this machine runs, first the scalar one that any other machine runs, too.
    static let all =
        [Table(dk_plain_kernels().pointee, name: "plain")]
        + [DK_SCALAR, DK_AVX2, DK_AVX512, DK_NEON, DK_AMX].compactMap { isa in
            dk_kernels_for(isa).map { Table($0.pointee) }
        }
    static let scalar = all[0]
    /// All but the first.
    static let vector = Array(all.dropFirst())
}

/// Zeroed memory on a cache line, freed with the object.
final class Memory<Element: BitwiseCopyable> {
    let pointer: UnsafeMutablePointer<Element>
    let count: Int

    init(_ count: Int) {
        self.count = count
        let bytes = max(count, 1) * MemoryLayout<Element>.stride
        let memory = UnsafeMutableRawPointer.allocate(byteCount: bytes, alignment: 64)
        memory.initializeMemory(as: UInt8.self, repeating: 0, count: bytes)
        pointer = memory.bindMemory(to: Element.self, capacity: max(count, 1))
    }

    convenience init(_ elements: [Element]) {
        self.init(elements.count)
        for (i, element) in elements.enumerated() { pointer[i] = element }
    }

    deinit { UnsafeMutableRawPointer(pointer).deallocate() }

    var elements: [Element] { Array(UnsafeBufferPointer(start: pointer, count: count)) }
}

/// Keeps memory until here: a pointer taken from an object does not.
func keep(_ objects: AnyObject...) { withExtendedLifetime(objects) {} }

/// A workspace of its own for each use: tests run side by side.
func workspace() -> Memory<UInt8> { Memory(Int(DK_WORKSPACE_BYTES)) }

/// Normal random numbers.
func random(_ count: Int, seed: UInt64, scale: Double = 1) -> [Float] {
    var source = RandomSource(seed: seed)
    return (0..<count).map { _ in Float(scale * source.normal()) }
}

/// How many numbers differ in any bit but the sign of a zero.
func differences(_ a: [Float], _ b: [Float]) -> Int {
    guard a.count == b.count else { return max(a.count, b.count) }
    return zip(a, b).count { $0 != $1 && $0.bitPattern != $1.bitPattern }
}

/// x / 2, computed when it is asked for and not by the compiler.
@inline(never) func halved(_ x: Float) -> Float { x / 2 }

extension Int {
    var wide: Int64 { Int64(self) }
}
