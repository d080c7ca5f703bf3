//  What a call hands back: named tensors and texts in memory of its own, or an error, behind one
//  opaque pointer.

import CDualitySSD
import DualityCore

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// The object behind a `duality_result *`.
final class CallResult {
    private(set) var status: Int32 = Int32(DUALITY_OK)
    private var texts: [String: UnsafeMutablePointer<CChar>] = [:]
    private var tensors: [duality_tensor] = []

    /// A result without anything in it yet.
    init() {}

    /// The result of a call that failed.
    convenience init(_ error: any Error) {
        self.init()
        let error =
            error as? InputError
            ?? InputError(.unsupported, in: "Duality", expected: "a call that works", found: "\(error)")
        status = error.kind.status
        setText("error", error.description)
        let json: JSON = [
            "kind": .string(error.kind.rawValue), "place": .string(error.place), "expected": .string(error.expected),
            "found": .string(error.found), "remedy": .string(error.remedy), "message": .string(error.description),
        ]
        setText("json", json.serialized())
    }

    deinit {
        for text in texts.values { free(text) }
        for tensor in tensors {
            free(UnsafeMutableRawPointer(mutating: tensor.data))
            free(UnsafeMutablePointer(mutating: tensor.name))
            free(UnsafeMutablePointer(mutating: tensor.dtype))
            UnsafeMutablePointer(mutating: tensor.shape)?.deallocate()
            UnsafeMutablePointer(mutating: tensor.strides)?.deallocate()
        }
    }

    func setText(_ name: String, _ text: String) {
        if let old = texts.updateValue(strdup(text), forKey: name) { free(old) }
    }

    func text(_ name: String) -> UnsafePointer<CChar>? { texts[name].map { UnsafePointer($0) } }

    /// Adds a tensor, row-major; nil adds nothing.
    func add<Scalar: RealNumber>(_ name: String, _ tensor: Tensor<Scalar>?) {
        guard let tensor else { return }
        tensor.elements.withUnsafeBytes { add(name, dtype: Scalar.name.uppercased(), shape: tensor.shape, bytes: $0) }
    }

    /// Adds a tensor by a copy of its bytes.
    func add(_ name: String, dtype: String, shape: [Int], bytes: UnsafeRawBufferPointer) {
        let size = bytes.count / max(shape.reduce(1, *), 1)
        let data = malloc(max(bytes.count, 1))
        if let source = bytes.baseAddress, let data { memcpy(data, source, bytes.count) }
        let lengths = UnsafeMutablePointer<Int64>.allocate(capacity: max(shape.count, 1))
        let strides = UnsafeMutablePointer<Int64>.allocate(capacity: max(shape.count, 1))
        var stride = size
        for axis in shape.indices.reversed() {
            lengths[axis] = Int64(shape[axis])
            strides[axis] = Int64(stride)
            stride *= max(shape[axis], 1)
        }
        tensors.append(
            duality_tensor(
                name: strdup(name), dtype: strdup(dtype), data: data, rank: Int64(shape.count), shape: lengths,
                strides: strides))
    }

    var count: Int { tensors.count }

    func tensor(at index: Int) -> duality_tensor? { tensors.indices.contains(index) ? tensors[index] : nil }

    func tensor(named name: UnsafePointer<CChar>) -> duality_tensor? { tensors.first { strcmp($0.name, name) == 0 } }
}

extension InputError.Kind {
    /// The number of this kind in duality_ssd.h.
    fileprivate var status: Int32 {
        switch self {
        case .missingFile: Int32(DUALITY_MISSING_FILE)
        case .inaccessibleFile: Int32(DUALITY_INACCESSIBLE_FILE)
        case .truncated: Int32(DUALITY_TRUNCATED)
        case .malformed: Int32(DUALITY_MALFORMED)
        case .json: Int32(DUALITY_JSON)
        case .missing: Int32(DUALITY_MISSING)
        case .unknown: Int32(DUALITY_UNKNOWN)
        case .shape: Int32(DUALITY_SHAPE)
        case .dtype: Int32(DUALITY_DTYPE)
        case .value: Int32(DUALITY_VALUE)
        case .notFinite: Int32(DUALITY_NOT_FINITE)
        case .unsupported: Int32(DUALITY_UNSUPPORTED)
        }
    }
}
