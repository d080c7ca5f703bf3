//  The tensors of a call, read where they lie: no copy is made of what is row-major, whatever its
//  format.
//
//      element [i_0, i_1, …]  at  data + Σ i_k strides[k]          strides in bytes, of any sign; 0 repeats an axis
//
//  A caller's description is checked as a file's header is: what cannot be true is an `InputError`.
//  The pointers themselves cannot be checked.

import CDualitySSD
import DualityCore

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// Named tensors in the caller's memory.
///
/// Unchecked: the caller leaves the memory alone during the call, and the value does not outlive
/// it.
struct ArgumentTensors: TensorSource, @unchecked Sendable {
    let place: String
    private(set) var names: [String] = []
    private var entries: [String: (info: TensorInfo, data: UnsafeRawPointer?, strides: [Int])] = [:]

    /// - Parameter place: what to call the tensors in messages.
    /// - Throws: `InputError` naming the tensor: `.missing`, `.value`, `.shape`, `.dtype` for a
    ///   description that cannot be right.
    init(_ tensors: UnsafePointer<duality_tensor>?, count: Int64, place: String) throws(InputError) {
        self.place = place
        guard count >= 0, count <= 4096 else {
            throw InputError(.value, in: "number of \(place)", expected: "0 to 4096", found: "\(count)")
        }
        guard let tensors else {
            guard count == 0 else {
                throw InputError(.missing, in: place, expected: "\(count) tensors", found: "NULL")
            }
            return
        }
        for i in 0..<Int(count) { try add(tensors[i], number: i) }
    }

    private mutating func add(_ tensor: duality_tensor, number: Int) throws(InputError) {
        guard let pointer = tensor.name else {
            throw InputError(.missing, in: "\(place)[\(number)]", expected: "a name", found: "NULL")
        }
        let name = String(cString: pointer)
        let place = "\(place): \(name)"
        guard entries[name] == nil else {
            throw InputError(.value, in: place, expected: "one tensor of this name", found: "two")
        }
        let dtypeName = tensor.dtype.map { String(cString: $0) }
        guard let dtype = dtypeName.flatMap(DType.init(rawValue:)), dtype.isReal else {
            throw InputError(
                .dtype, in: place, expected: "a format such as \"F32\", \"BF16\" or \"I32\"",
                found: dtypeName.map { "\"\($0)\"" } ?? "NULL")
        }
        guard tensor.rank >= 0, tensor.rank <= 32, tensor.rank == 0 || tensor.shape != nil else {
            throw InputError(
                .shape, in: place, expected: "a shape of 0 to 32 axes",
                found: tensor.shape == nil ? "NULL" : "\(tensor.rank) axes")
        }
        let shape = (0..<Int(tensor.rank)).map { Int(tensor.shape[$0]) }
        guard shape.allSatisfy({ $0 >= 0 }), isAffordable(shape) else {
            throw InputError(
                .shape, in: place, expected: "lengths >= 0 of a tensor that fits into memory", found: "\(shape)")
        }
        let count = shape.reduce(1, *)
        guard tensor.data != nil || count == 0 else {
            throw InputError(.missing, in: place, expected: "the address of \(count) elements", found: "NULL")
        }
        let size = dtype.bits / 8
        let rowMajor = rowMajorStrides(shape, size: size)
        let strides = tensor.strides.map { strides in shape.indices.map { Int(strides[$0]) } } ?? rowMajor
        names.append(name)
        entries[name] = (
            TensorInfo(name: name, dtype: dtype, shape: shape, byteRange: 0..<count * size), tensor.data, strides
        )
    }

    func find(_ name: String) -> TensorInfo? { entries[name]?.info }

    func withBytes<Result>(of name: String, _ body: (UnsafeRawBufferPointer) throws -> Result) throws -> Result {
        let info = try info(name)
        guard let entry = entries[name], let data = entry.data, info.count > 0 else {
            return try body(UnsafeRawBufferPointer(start: nil, count: 0))
        }
        let size = info.dtype.bits / 8
        if isRowMajor(entry.strides, info.shape, size: size) {
            return try body(UnsafeRawBufferPointer(start: data, count: info.byteCount))
        }
        let gathered = gather(data, shape: info.shape, strides: entry.strides, size: size)
        return try gathered.withUnsafeBytes(body)
    }

    /// - Throws: `InputError` (`.unknown`) for a tensor that nothing would read, with the nearest
    ///   name that something does.
    func requireNames(among known: [String]) throws(InputError) {
        for name in names where !known.contains(name) {
            throw InputError(
                .unknown, in: "\(place): \(name)", expected: "one of \(known.joined(separator: ", "))",
                found: "\"\(name)\"")
        }
    }
}

/// Whether a tensor of this shape in float64 fits into the machine's memory, its axes of length 0
/// counted as 1: what is computed from an empty tensor may still have its other axes.
func isAffordable(_ shape: [Int]) -> Bool {
    var bytes = 8
    for length in shape {
        let (product, overflow) = bytes.multipliedReportingOverflow(by: max(length, 1))
        if overflow { return false }
        bytes = product
    }
    return bytes <= physicalMemory
}

/// Bytes of memory in this machine.
private let physicalMemory: Int = {
    let (pages, size) = (sysconf(Int32(_SC_PHYS_PAGES)), sysconf(Int32(_SC_PAGESIZE)))
    return pages > 0 && size > 0 ? Int(pages) * Int(size) : 1 << 40
}()

private func rowMajorStrides(_ shape: [Int], size: Int) -> [Int] {
    var strides = shape
    var stride = size
    for axis in shape.indices.reversed() {
        strides[axis] = stride
        stride *= max(shape[axis], 1)
    }
    return strides
}

/// Whether the elements lie in row-major order without gaps; the stride of an axis of length 1 says
/// nothing.
private func isRowMajor(_ strides: [Int], _ shape: [Int], size: Int) -> Bool {
    zip(shape, zip(strides, rowMajorStrides(shape, size: size))).allSatisfy { $0 == 1 || $1.0 == $1.1 }
}

/// The elements of a strided tensor with at least one element, in row-major order.
private func gather(_ data: UnsafeRawPointer, shape: [Int], strides: [Int], size: Int) -> [UInt8] {
    let count = shape.reduce(1, *)
    let (width, step) = (shape.last ?? 1, strides.last ?? 0)
    var index = [Int](repeating: 0, count: shape.count)
    var row = data
    return [UInt8](unsafeUninitializedCapacity: count * size) { bytes, initialized in
        initialized = count * size
        guard var target = UnsafeMutableRawPointer(bytes.baseAddress) else { return }
        for _ in 0..<count / width {
            for i in 0..<width { memcpy(target + i * size, row + i * step, size) }
            target += width * size
            // The next row: the innermost outer axis that is not at its end goes on, those inside
            // it start again.
            for axis in shape.indices.dropLast().reversed() {
                index[axis] += 1
                if index[axis] < shape[axis] {
                    row += strides[axis]
                    break
                }
                row -= (shape[axis] - 1) * strides[axis]
                index[axis] = 0
            }
        }
    }
}
