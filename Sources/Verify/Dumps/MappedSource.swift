//  Somebody else's file under our names: tensors renamed, axes reordered, sequence numbers made
//  ascending.

import DualityCore

/// A collection of tensors seen through a mapping of names, with some tensors replaced.
struct MappedSource: TensorSource {
    let base: any TensorSource
    /// Our name to theirs.
    let aliases: [String: String]
    /// Tensors that stand in for those of the base.
    var replaced: TensorTable

    init(_ base: any TensorSource, aliases: [String: String] = [:]) {
        self.base = base
        self.aliases = aliases
        replaced = TensorTable(place: base.place)
    }

    var place: String { base.place }

    var names: [String] {
        let theirs = Set(aliases.values)
        let ours = base.names.filter { !theirs.contains($0) && aliases[$0] == nil && replaced.find($0) == nil }
        return ours + aliases.keys.sorted().filter { replaced.find($0) == nil } + replaced.names
    }

    func find(_ name: String) -> TensorInfo? {
        if let info = replaced.find(name) { return info }
        guard let info = base.find(aliases[name] ?? name) else { return nil }
        return TensorInfo(name: name, dtype: info.dtype, shape: info.shape, byteRange: info.byteRange)
    }

    func withBytes<Result>(of name: String, _ body: (UnsafeRawBufferPointer) throws -> Result) throws -> Result {
        if replaced.find(name) != nil { return try replaced.withBytes(of: name, body) }
        return try base.withBytes(of: aliases[name] ?? name, body)
    }
}

extension MappedSource {
    /// Reorders the axes of all tensors that have tokens to ours, `[B, L, H, P]`.
    ///
    /// - Parameter layout: the order of theirs in the letters b, l, h, p, the batch left out where
    ///   there is none: `bhlp`, `lhp`. B and C have their groups and state axis for h and p; dt has
    ///   no p.
    /// - Throws: `InputError` when the letters are others, or a tensor has another number of axes.
    mutating func reorder(_ layout: String) throws {
        let letters = Array(layout.lowercased())
        guard Set(letters).count == letters.count, Set(letters).union(["b"]) == Set("blhp") else {
            throw InputError(
                .value, in: "--layout", expected: "the letters b, l, h, p in some order, b optional",
                found: "\"\(layout)\"")
        }
        let wide = ["x", "y", "z", "B", "C", "dout", "grad_x", "grad_z", "grad_B", "grad_C"]
        for name in wide + ["dt", "grad_dt"] {
            guard let info = find(name) else { continue }
            let axes = wide.contains(name) ? letters : letters.filter { $0 != "p" }
            guard info.shape.count == axes.count else {
                throw InputError(
                    .shape, in: "\(place): \(name)", expected: "\(axes.count) axes, \(String(axes))",
                    found: "\(info.shape)")
            }
            let wanted = wide.contains(name) ? Array("blhp") : Array("blh")
            try replace(info, order: wanted.map { axes.firstIndex(of: $0) })
        }
    }

    /// Replaces a tensor by itself with its axes in another order; nil is a new axis of length 1.
    private mutating func replace(_ info: TensorInfo, order: [Int?]) throws {
        let size = max(info.dtype.bits / 8, 1)
        let strides = info.shape.indices.map { info.shape[($0 + 1)...].reduce(1, *) }
        let shape = order.map { $0.map { info.shape[$0] } ?? 1 }
        let steps = order.map { $0.map { strides[$0] } ?? 0 }
        var bytes = [UInt8](repeating: 0, count: info.byteCount)
        try withBytes(of: info.name) { source in
            bytes.withUnsafeMutableBytes { target in
                var index = [Int](repeating: 0, count: shape.count)
                for i in 0..<info.count {
                    let from = zip(index, steps).reduce(0) { $0 + $1.0 * $1.1 }
                    for b in 0..<size { target[i * size + b] = source[from * size + b] }
                    var axis = shape.count - 1
                    while axis >= 0 {
                        index[axis] += 1
                        if index[axis] < shape[axis] { break }
                        index[axis] = 0
                        axis -= 1
                    }
                }
            }
        }
        try replaced.add(info.name, dtype: info.dtype, shape: shape, bytes: bytes)
    }

    /// Replaces seq_idx by the number of the run, so that an id which returns begins a new
    /// sequence.
    ///
    /// - Returns: the ids as they were; nil where there are none.
    mutating func renumberSequences() throws -> Tensor<Int>? {
        guard contains("seq_idx") else { return nil }
        let ids = try integers("seq_idx")
        guard ids.shape.count == 2 else { return ids }  // refused with its shape where it is read
        var runs = ids
        let length = ids.shape[1]
        for i in ids.elements.indices {
            let isFirst = i % length == 0
            let before = isFirst ? 0 : runs.elements[i - 1]
            runs.elements[i] = isFirst || ids.elements[i] == ids.elements[i - 1] ? before : before + 1
        }
        try replaced.add("seq_idx", runs)
        return ids
    }
}
