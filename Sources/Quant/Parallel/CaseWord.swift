//  What ranks tell each other while they share cases out.
//
//      to rank 0      here        with so many workers
//                     result      what came of the case that was given out as the k-th
//                     gone        its last word
//      to the others  work        a case, given out as the k-th
//                     over        there are no more; the second time, everybody has been heard out
//      both ways      alive       a word where there has been none for a while

import DualityCore

enum CaseWord<Value: Portable>: Portable {
    case here(workers: Int)
    case result(Int, CaseOutcome<Value>)
    case work(Int, number: Int)
    case over
    case alive
    case gone

    func write(to bytes: inout PortableWriter) {
        switch self {
        case .here(let workers): bytes.add(each: 0, workers)
        case .result(let k, let outcome): bytes.add(each: 1, k, outcome)
        case .work(let k, let number): bytes.add(each: 2, k, number)
        case .over: bytes.add(3)
        case .alive: bytes.add(4)
        case .gone: bytes.add(5)
        }
    }

    init(from bytes: inout PortableReader) throws(InputError) {
        let kind: Int = try bytes.next()
        switch kind {
        case 0: self = .here(workers: try bytes.next())
        case 1: self = .result(try bytes.next(), try bytes.next())
        case 2: self = .work(try bytes.next(), number: try bytes.next())
        case 3: self = .over
        case 4: self = .alive
        case 5: self = .gone
        default: throw bytes.malformed("a word about cases", "one of kind \(kind)")
        }
    }
}

/// What came of a case.
enum CaseOutcome<Value: Portable>: Portable {
    case success(Value)
    case failure(InputError)

    /// - Parameter body: an error of another type than `InputError` becomes one, here as on any
    ///   other rank.
    init(_ body: () throws -> Value) {
        do {
            self = .success(try body())
        } catch let error as InputError {
            self = .failure(error)
        } catch {
            self = .failure(
                InputError(.malformed, in: "a case", expected: "one that can be computed", found: "\(error)"))
        }
    }

    func get() throws(InputError) -> Value {
        switch self {
        case .success(let value): return value
        case .failure(let error): throw error
        }
    }

    func write(to bytes: inout PortableWriter) {
        switch self {
        case .success(let value): bytes.add(each: true, value)
        case .failure(let error): bytes.add(each: false, error)
        }
    }

    init(from bytes: inout PortableReader) throws(InputError) {
        let isValue: Bool = try bytes.next()
        self = isValue ? .success(try bytes.next()) : .failure(try bytes.next())
    }
}

extension CaseOutcome: Sendable where Value: Sendable {}
