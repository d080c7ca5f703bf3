//  A priority queue of 64-bit keys. What a key means is packed into it: the priority in the upper
//  half, an index in the lower, so that equal priorities come out in the order of their indices.

/// A binary heap whose first element is the smallest.
struct MinimumHeap: Sendable {
    private(set) var keys: [UInt64] = []

    var first: UInt64? { keys.first }
    var count: Int { keys.count }

    mutating func removeAll() { keys.removeAll(keepingCapacity: true) }

    /// O(log n).
    mutating func insert(_ key: UInt64) {
        keys.append(key)
        var child = keys.count - 1
        while child > 0 {
            let parent = (child - 1) / 2
            if keys[parent] <= key { break }
            keys[child] = keys[parent]
            child = parent
        }
        keys[child] = key
    }

    /// O(log n).
    mutating func removeFirst() {
        let last = keys.removeLast()
        if !keys.isEmpty { replaceFirst(with: last) }
    }

    /// Removes the first and inserts `key`, in one pass; the heap must not be empty. O(log n).
    mutating func replaceFirst(with key: UInt64) {
        var parent = 0
        while true {
            var child = 2 * parent + 1
            if child >= keys.count { break }
            if child + 1 < keys.count && keys[child + 1] < keys[child] { child += 1 }
            if keys[child] >= key { break }
            keys[parent] = keys[child]
            parent = child
        }
        keys[parent] = key
    }
}
