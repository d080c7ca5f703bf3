//  Softmax attention of a run of queries to one or several sets of keys and values.
//
//      o_h[t] = ( sum over sets, over s visible to t, of  e^(q_h[t] · k_g[s] / sqrt(D)) v_g[s] ) / ( the sum of those weights )
//
//  with g = h div (H / Hkv). One softmax runs over all sets together; each set has its own queries,
//  keys, values and rule of what a token sees. What a row comes to depends only on the keys it
//  sees, in their order, bit for bit.

import DualityCore

/// Queries and the keys and values they may see.
struct AttendedSet<Scalar: RealNumber> {
    /// `[L, H D]`.
    let queries: Tensor<Scalar>
    let cache: KeyValueCache<Scalar>
    /// For row t of the queries, the entries of the cache that it sees.
    let visible: (Int) -> Range<Int>
}

/// The softmax-weighted values, `[L, H D]`.
///
/// - Parameters:
///   - sets: at least one; all with the same L, H and Hkv.
///   - headDim: D.
/// - Note: a row that sees nothing at all is zero.
func attend<Scalar: RealNumber>(_ sets: [AttendedSet<Scalar>], headDim: Int) -> Tensor<Scalar> {
    let (length, width) = (sets[0].queries.shape[0], sets[0].queries.shape[1])
    let headCount = width / headDim
    let group = headCount / sets[0].cache.keys.count
    let scale = 1 / Scalar.sqrt(Scalar(headDim))
    var out = Tensor<Scalar>(repeating: 0, shape: [length, width])
    var weights = Tensor<Scalar>(repeating: 0, shape: [sets.reduce(0) { $0 + $1.cache.count }])
    withRows(of: &out) { out in
        withRows(of: &weights) { weights in
            for head in 0..<headCount {
                for t in 0..<length {
                    let offset = t * width + head * headDim
                    var count = 0
                    for set in sets {
                        withRows(set.queries, set.cache.keys[head / group]) { q, keys in
                            for s in set.visible(t) {
                                weights[count] = scale * dot(q + offset, keys + s * headDim, headDim)
                                count += 1
                            }
                        }
                    }
                    softmax(weights, count)
                    count = 0
                    for set in sets {
                        withRows(of: set.cache.values[head / group]) { values in
                            for s in set.visible(t) {
                                addScaled(weights[count], values + s * headDim, to: out + offset, headDim)
                                count += 1
                            }
                        }
                    }
                }
            }
        }
    }
    return out
}

/// `w_s = e^(w_s - max w) / sum`, in place.
private func softmax<Scalar: RealNumber>(_ w: UnsafeMutablePointer<Scalar>, _ count: Int) {
    guard count > 0 else { return }
    var largest = w[0]
    for s in 1..<count { largest = max(largest, w[s]) }
    var sum = Scalar.zero
    for s in 0..<count {
        w[s] = Scalar.exp(w[s] - largest)
        sum += w[s]
    }
    let scale = 1 / sum
    for s in 0..<count { w[s] *= scale }
}
