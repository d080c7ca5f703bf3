//  An owning, row-major array with a shape. Nothing else: no views, no strides, no broadcasting.
//
//  Layers say the axis order in their comments ([B, L, H, P] and so on) and index with `row(...)`
//  or with plain arithmetic on `elements`; a reader never has to know what a view aliases.

/// A dense array of `shape.count` axes, the last axis contiguous.
public struct Tensor<Element> {
    /// The length of each axis, outermost first; empty for a single number.
    public internal(set) var shape: [Int]
    /// All elements in row-major order.
    public var elements: [Element]

    /// Wraps `elements`, whose count must be the product of `shape`.
    ///
    /// - Throws: `InputError` (`.shape`) when it is not.
    public init(shape: [Int], elements: [Element]) throws(InputError) {
        guard let count = checkedCount(of: shape), elements.count == count else {
            throw InputError(
                .shape, in: "tensor", expected: "as many elements as shape \(shape) has",
                found: "\(elements.count) elements")
        }
        self.shape = shape
        self.elements = elements
    }

    /// A tensor filled with one value.
    @inlinable
    public init(repeating value: Element, shape: [Int]) {
        self.init(uncheckedShape: shape, elements: [Element](repeating: value, count: shape.reduce(1, *)))
    }

    /// A one-axis tensor.
    @inlinable
    public init(_ elements: [Element]) {
        self.init(uncheckedShape: [elements.count], elements: elements)
    }

    /// Elements: the product of `shape`, 1 for a tensor without axes.
    @inlinable public var count: Int { elements.count }

    /// The element at a full index, one number an axis. For clarity in tests and tools; loops use
    /// `elements`.
    @inlinable
    public subscript(_ index: Int...) -> Element {
        get { elements[offset(index)] }
        set { elements[offset(index)] = newValue }
    }

    @inlinable
    func offset(_ index: [Int]) -> Int {
        precondition(index.count == shape.count, "a full index has one number an axis")
        var offset = 0
        for (i, length) in zip(index, shape) {
            precondition(i >= 0 && i < length, "index out of range")
            offset = offset * length + i
        }
        return offset
    }

    /// The elements in the same order under another shape of the same count.
    ///
    /// - Throws: `InputError` (`.shape`) when the counts differ.
    public func reshaped(_ shape: [Int]) throws(InputError) -> Tensor {
        try Tensor(shape: shape, elements: elements)
    }

    /// - Throws: `InputError` (`.shape`) naming the tensor when its shape is another.
    public func requireShape(_ expected: [Int], _ name: String) throws(InputError) {
        guard shape == expected else {
            throw InputError(.shape, in: name, expected: "\(expected)", found: "\(shape)")
        }
    }

    /// Appends, to a matrix, the columns `columns` of every row of another matrix.
    public mutating func appendRows(columns: Range<Int>, of source: Tensor) {
        precondition(shape.count == 2 && source.shape.count == 2 && columns.count == shape[1], "rows of equal width")
        let width = source.shape[1]
        for row in 0..<source.shape[0] {
            elements.append(
                contentsOf: source.elements[row * width + columns.lowerBound..<row * width + columns.upperBound])
        }
        shape[0] += source.shape[0]
    }

    /// The columns `columns` of every row of a matrix.
    public func columns(_ columns: Range<Int>) -> Tensor {
        var part = Tensor(uncheckedShape: [0, columns.count], elements: [])
        part.elements.reserveCapacity(shape[0] * columns.count)
        part.appendRows(columns: columns, of: self)
        return part
    }

    /// The rows `rows` of a matrix.
    public func rows(_ rows: Range<Int>) -> Tensor {
        let width = shape[1]
        return Tensor(
            uncheckedShape: [rows.count, width],
            elements: Array(elements[rows.lowerBound * width..<rows.upperBound * width]))
    }

    /// The entries `indices` of one axis, in the given order.
    ///
    /// - Precondition: every index is one of the axis; what a user gives is checked before.
    /// - Complexity: O(elements of the result).
    public func selecting(_ indices: [Int], axis: Int) -> Tensor {
        precondition(indices.allSatisfy { $0 >= 0 && $0 < shape[axis] }, "entries of the axis")
        let (outer, inner) = (shape[..<axis].reduce(1, *), shape[(axis + 1)...].reduce(1, *))
        var part = Tensor(uncheckedShape: shape, elements: [])
        part.shape[axis] = indices.count
        part.elements.reserveCapacity(outer * indices.count * inner)
        for i in 0..<outer {
            for index in indices {
                let first = (i * shape[axis] + index) * inner
                part.elements.append(contentsOf: elements[first..<first + inner])
            }
        }
        return part
    }

    /// Removes rows of a matrix.
    public mutating func removeRows(_ rows: Range<Int>) {
        precondition(shape.count == 2 && rows.upperBound <= shape[0], "rows of a matrix")
        elements.removeSubrange(rows.lowerBound * shape[1]..<rows.upperBound * shape[1])
        shape[0] -= rows.count
    }

    /// The tensor of the same shape whose elements are those of this one, transformed.
    @inlinable
    public func map<Other>(_ transform: (Element) throws -> Other) rethrows -> Tensor<Other> {
        Tensor<Other>(uncheckedShape: shape, elements: try elements.map(transform))
    }

    @usableFromInline
    init(uncheckedShape shape: [Int], elements: [Element]) {
        self.shape = shape
        self.elements = elements
    }
}

extension Tensor: Equatable where Element: Equatable {}
extension Tensor: Hashable where Element: Hashable {}
extension Tensor: Sendable where Element: Sendable {}

extension Tensor where Element: RealNumber {
    /// The same numbers in another format: exact when widening, rounded to nearest when narrowing.
    @inlinable
    public func converted<Other: RealNumber>(to type: Other.Type = Other.self) -> Tensor<Other> {
        if let same = self as? Tensor<Other> { return same }
        return map { Other($0.double) }
    }
}

extension Tensor where Element: RealNumber {
    /// - Throws: `InputError` (`.notFinite`) naming the tensor and the index of its first NaN or
    ///   infinity.
    @specialized(where Element == Float)
    @specialized(where Element == Double)
    public func requireFinite(_ name: String) throws(InputError) {
        guard let first = elements.firstIndex(where: { !$0.isFinite }) else { return }
        throw InputError(
            .notFinite, in: "\(name)\(fullIndex(ofElement: first, in: shape))", expected: "a finite number",
            found: "\(elements[first])")
    }
}
