//  The functions of duality_ssd.h. Each turns what it is given into Swift, and whatever happens
//  into a result.

import CDualitySSD
import DualityCore

@_cdecl("duality_abi_version")
public func abiVersion() -> Int32 { DUALITY_ABI_VERSION }

@_cdecl("duality_ssd")
public func callSSD(
    _ operands: UnsafePointer<duality_tensor>?, _ count: Int64, _ options: UnsafePointer<CChar>?
) -> OpaquePointer {
    answer { try evaluate(ArgumentTensors(operands, count: count, place: "operands"), options: options) }
}

@_cdecl("duality_bound")
public func callBound(
    _ operands: UnsafePointer<duality_tensor>?, _ count: Int64, _ options: UnsafePointer<CChar>?
) -> OpaquePointer {
    answer { try errorSizes(ArgumentTensors(operands, count: count, place: "operands"), options: options) }
}

@_cdecl("duality_verify")
public func callVerify(
    _ cases: UnsafePointer<duality_case>?, _ count: Int64, _ options: UnsafePointer<CChar>?
) -> OpaquePointer {
    answer { try judge(cases, count: count, options: options) }
}

@_cdecl("duality_vectors")
public func callVectors(_ options: UnsafePointer<CChar>?) -> OpaquePointer {
    answer { try vectors(options: options) }
}

@_cdecl("duality_status")
public func statusOfResult(_ result: OpaquePointer?) -> Int32 { object(result)?.status ?? Int32(DUALITY_OTHER) }

@_cdecl("duality_text")
public func textOfResult(_ result: OpaquePointer?, _ name: UnsafePointer<CChar>?) -> UnsafePointer<CChar>? {
    name.flatMap { object(result)?.text(String(cString: $0)) }
}

@_cdecl("duality_count")
public func countOfResult(_ result: OpaquePointer?) -> Int64 { Int64(object(result)?.count ?? 0) }

@_cdecl("duality_tensor_at")
public func tensorOfResult(
    _ result: OpaquePointer?, at index: Int64, _ tensor: UnsafeMutablePointer<duality_tensor>?
) -> Int32 {
    put(object(result)?.tensor(at: Int(index)), into: tensor)
}

@_cdecl("duality_find")
public func findInResult(
    _ result: OpaquePointer?, _ name: UnsafePointer<CChar>?, _ tensor: UnsafeMutablePointer<duality_tensor>?
) -> Int32 {
    put(name.flatMap { object(result)?.tensor(named: $0) }, into: tensor)
}

@_cdecl("duality_free")
public func freeResult(_ result: OpaquePointer?) {
    if let result { Unmanaged<CallResult>.fromOpaque(UnsafeRawPointer(result)).release() }
}

/// Runs a call; its error is a result too.
private func answer(_ call: () throws -> CallResult) -> OpaquePointer {
    let result: CallResult
    do { result = try call() } catch { result = CallResult(error) }
    return OpaquePointer(Unmanaged.passRetained(result).toOpaque())
}

private func object(_ result: OpaquePointer?) -> CallResult? {
    result.map { Unmanaged<CallResult>.fromOpaque(UnsafeRawPointer($0)).takeUnretainedValue() }
}

private func put(_ found: duality_tensor?, into tensor: UnsafeMutablePointer<duality_tensor>?) -> Int32 {
    guard let found, let tensor else { return 0 }
    tensor.pointee = found
    return 1
}
