// %% [markdown]
// # Chunks
//
// What each form of SSD costs, counted and measured: where the loop overtakes attention, what
// cutting the sequence into chunks buys, and why everybody's chunk has 64 to 256 tokens.
//
// At the end you will know
//
// - how to count the operations of the three forms, and where two of them cost the same;
// - that chunking hardly saves arithmetic: it changes the *kind* of arithmetic, and how often the
//   state is moved;
// - which two prices fence in the chunk size from below and from above.
//
// If the forms are new to you, read notebook 01 first.

// %% [markdown]
// ## Counting
//
// One head with $P$ channels and a state of $P \times N$ numbers, $L$ tokens, multiplications and
// additions counted apart.
//
// *Recurrent.* Each token scales the state, adds an outer product and reads the state with $C_t$:
// $5PN$ operations, always.
//
// *Quadratic.* Each pair $s \le t$ costs a product of length $N$ for $C_t \cdot B_s$, one of length
// $P$ to add $\bar x_s$, and a little for the mask: $2N + 2P + 3$. A token has $(L+1)/2$ partners
// on average.
//
// *Chunked.* Pairs inside a chunk as above, so $(Q+1)/2$ partners instead. Then $4PN$ to read the
// entering state and to sum up the chunk's own, and $2PN/Q$ to pass the state on.

// %%
import DualityCore
import DualityNotebook
import DualityReference
import DualityVerify

func recurrentCost(p: Double, n: Double) -> Double { 5 * p * n }
func quadraticCost(length: Double, p: Double, n: Double) -> Double { (length + 1) / 2 * (2 * n + 2 * p + 3) }
func chunkedCost(q: Double, p: Double, n: Double) -> Double {
    (q + 1) / 2 * (2 * n + 2 * p + 3) + 4 * p * n + 2 * p * n / q
}

let (p, n) = (128.0, 128.0)
let sizes: [Double] = [1, 4, 11, 16, 64, 256, 1024]
let loop = recurrentCost(p: p, n: n)
table(
    ["form", "operations a token", "of the loop's"],
    [["recurrent", text(loop), "1.00"]]
        + sizes.map { q in
            let cost = chunkedCost(q: q, p: p, n: n)
            return ["chunked, Q = \(Int(q))", text(cost), text(cost / loop, .fixed(2))]
        })

/// The chunk size that costs least, and the length at which attention has become the dearer pure
/// form.
func bestChunk(p: Double, n: Double) -> Int {
    (1...1024).min { chunkedCost(q: Double($0), p: p, n: n) < chunkedCost(q: Double($1), p: p, n: n) } ?? 0
}
func crossing(p: Double, n: Double) -> Int {
    (1...4096).first { quadraticCost(length: Double($0), p: p, n: n) > recurrentCost(p: p, n: n) } ?? 0
}
let (best, met) = (bestChunk(p: p, n: n), crossing(p: p, n: n))
value("bestQ", best)
value("crossing", met)
value("at64", chunkedCost(q: 64, p: p, n: n) / loop, .fixed(2))
claim("the cheapest chunk has √P tokens, within one", abs(Double(best) - p.squareRoot()) < 1)
claim("attention is the cheaper up to 5/2 P tokens", abs(Double(met) - 2.5 * p) < 3)

// %% [markdown]
// These are the sizes of the 8B hybrid, $P = N = 128$. Two things stand out.
//
// Attention over everything is the cheaper of the two pure forms up to {{crossing}} tokens,
// $\tfrac52 P$ if one neglects the small terms. Short sequences *should* be computed as attention.
//
// And chunking saves next to nothing. The cheapest chunk has {{bestQ}} tokens. At $Q = 64$ the
// chunked form does {{at64}} times the arithmetic of the loop. If operations were all that counted,
// nobody would bother.
//
// ## Measuring
//
// The forms of the library's reference are plain Swift on one core, without threads or special
// instructions. Their times still follow the counts, because all of them do the same kind of work.
// Best of three runs each, in float32; what you see was measured by the run that made this page.

// %%
func operands(length: Int, size: Int) throws -> SSDInputs<Float> {
    var shape = SSDCase(seed: 1)
    // So slow a decay that no number becomes subnormal, which would make arithmetic many times
    // slower.
    (shape.length, shape.headDim, shape.stateDim, shape.decay) = (length, size, size, 0.002)
    (shape.heads, shape.xHeads, shape.bHeads, shape.cHeads) = (1, 1, 1, 1)
    return try shape.inputs()
}
func seconds(_ form: SSDForm, _ inputs: SSDInputs<Float>) throws -> Double {
    var best = Double.infinity
    for _ in 0..<3 {
        let start = ContinuousClock.now
        _ = try form.evaluate(inputs)
        best = min(best, (ContinuousClock.now - start) / .seconds(1))
    }
    return best
}

let lengths = [64, 128, 256, 512, 1024, 2048]
let runs = try lengths.map { try operands(length: $0, size: 64) }
func measured(_ form: SSDForm) throws -> [(Double, Double)] {
    try zip(lengths, runs).map { (Double($0), try 1e6 * seconds(form, $1) / Double($0)) }
}
let recurrent = try measured(.recurrent)
let quadratic = try measured(.quadratic)
let chunked = try measured(.chunked(size: 64))
// One speed fits all: that of the loop on the longest text.
let speed = recurrentCost(p: 64, n: 64) / (recurrent.last?.1 ?? 1)
func predicted(_ cost: (Double) -> Double) -> [(Double, Double)] {
    lengths.map { (Double($0), cost(Double($0)) / speed) }
}
figure(
    "lengths", "Microseconds a token for one head of P = N = 64: measured, and what the counts predict.",
    .chart(
        x: Axis("sequence length L (tokens)", .log2), y: Axis("time a token (µs)", .log2),
        .points("recurrent", recurrent), .points("quadratic", quadratic), .points("chunked, Q = 64", chunked),
        .dashed("counted", predicted { _ in recurrentCost(p: 64, n: 64) }),
        .dashed("", predicted { quadraticCost(length: $0, p: 64, n: 64) }),
        .dashed("", predicted { chunkedCost(q: min(64, $0), p: 64, n: 64) })))
value("gflops", speed / 1e3, .significant(2))
value("crossing64", crossing(p: 64, n: 64))
value("slower", (quadratic.last?.1 ?? 0) / (recurrent.last?.1 ?? 1), .significant(2))
value(
    "slowerCounted", quadraticCost(length: 2048, p: 64, n: 64) / recurrentCost(p: 64, n: 64), .significant(2))

// %% [markdown]
// For heads of this size the count lets attention and the loop cross at {{crossing64}} tokens. At
// 2,048 tokens it says that attention takes {{slowerCounted}} times as long as the loop; {{slower}}
// was measured. One speed, {{gflops}} GFLOP/s, puts all three forms within a small factor of their
// counts. What a count leaves out is that an exponential costs more than a multiplication, and how
// well a loop nest suits the processor.
//
// ## What chunks are for
//
// Two things that a count of operations does not see.
//
// **Matrix units.** A processor built for deep learning multiplies matrices far faster than it does
// anything else. The loop has none to offer: its outer products and read-outs use every number
// once. Inside a chunk the same sums are four matrix products. But a matrix unit works in tiles,
// say $64 \times 64$. A chunk of 16 tokens fills a quarter of one and pays for all of it.
//
// **Moving the state.** The loop touches all $PN$ numbers of the state at every token; the chunked
// form does so once per chunk. Against that stand the operands themselves, $x, B, C$ and $y$, which
// are read or written once whatever the form.
//
// Count both. In the first column every product's sides are rounded up to tiles and the triangle
// inside the chunk is paid for as a square. In the second the state is float32 and the operands are
// bfloat16.

// %%
func tiledCost(q: Double, p: Double, n: Double) -> Double {
    let rows = (q / 64).rounded(.up) * 64
    return (2 * rows * rows * (n + p) + 4 * rows * p * n + 2 * p * n) / q
}
func traffic(q: Double, p: Double, n: Double) -> Double { 8 * p * n / q + 2 * (2 * p + 2 * n + 1) }

let chunkSizes = [8, 16, 32, 64, 128, 256, 512, 1024].map(Double.init)
table(
    ["Q (tokens)", "operations in tiles, a token", "bytes moved, a token", "operations a byte"],
    chunkSizes.map { q in
        let (cost, bytes) = (tiledCost(q: q, p: p, n: n), traffic(q: q, p: p, n: n))
        return ["\(Int(q))", text(cost), text(bytes), text(cost / bytes, .fixed(0))]
    })
figure(
    "chunk-size", "A token's cost relative to its least, P = N = 128: operations in tiles, and bytes moved.",
    .chart(
        x: Axis("chunk size Q (tokens)", .log2), y: Axis("cost relative to the least", .log2),
        [("operations in tiles", tiledCost), ("bytes moved", traffic)].map { name, cost in
            let costs = chunkSizes.map { cost($0, p, n) }
            let least = costs.min() ?? 1
            return .lineAndPoints(name, zip(chunkSizes, costs).map { ($0, $1 / least) })
        }))

let cheapest = chunkSizes.min { tiledCost(q: $0, p: p, n: n) < tiledCost(q: $1, p: p, n: n) } ?? 0
let balanced = 8 * p * n / (2 * (2 * p + 2 * n + 1))
let doubled =
    stride(from: 64, through: 4096, by: 64).first {
        tiledCost(q: Double($0), p: p, n: n) > 2 * tiledCost(q: 64, p: p, n: n)
    } ?? 0
value("cheapest", Int(cheapest))
value("balanced", Int(balanced.rounded()))
value("doubled", doubled)
claim("the cheapest chunk in tiles is one tile", cheapest == 64)
claim("balance lies above a tile, and doubling above balance", 64 < balanced && balanced < Double(doubled))

// %% [markdown]
// From below the tile is the fence: {{cheapest}} tokens. There the state still is most of the
// traffic. At {{balanced}} tokens the state and the operands are moved equally often, and longer
// chunks save less and less. From above it is the square: at {{doubled}} tokens the arithmetic has
// doubled. Between the fences everything is nearly flat. That is why 64 and 128 and 256 are all in
// use, and why nobody needs to agree.
//
// One more price grows with $Q$: a sum over a longer chunk has room for larger rounding errors.
// Notebook 07 measures it.
//
// ## Exercises
//
// **1.** The original Mamba-2 has $P = 64$ and $N = 128$. Up to which length is attention the
// cheaper pure form?

// %% [markdown] fold="Answer 1"
// Solve $(L+1)/2 \cdot (2N + 2P + 3) = 5PN$. When $P \ne N$ the place is $5PN/(N+P)$, roughly.

// %% fold="Answer 1"
let published = crossing(p: 64, n: 128)
let rule = 5.0 * 64 * 128 / (64 + 128)
print("up to \(published - 1) tokens; 5PN/(N+P) = \(text(rule, .fixed(0)))")
claim("the rule of thumb is within 2 %", abs(Double(published) / rule - 1) < 0.02)

// %% [markdown]
// **2.** Differentiate the cost of the chunked form by $Q$. Why is the best $Q$ about $\sqrt P$
// when $P = N$?

// %% [markdown] fold="Answer 2"
// Only two terms depend on $Q$: pairs, $Q\,(N+P)$, and passing the state, $2PN/Q$. Their sum is
// least where they are equal, $Q = \sqrt{2PN/(N+P)}$, and for $P = N$ that is $\sqrt P$.

// %% fold="Answer 2"
for size in [64.0, 128, 256] {
    let found = bestChunk(p: size, n: size)
    print("P = N = \(Int(size)): best Q = \(found), √P = \(text(size.squareRoot(), .fixed(1)))")
    claim("within one of each other", abs(Double(found) - size.squareRoot()) <= 1)
}

// %% [markdown]
// **3.** A chunk's states are written to memory so that the chunks can then be worked on at the
// same time. How much memory is that for one layer of the 8B model (32 heads) reading 131,072
// tokens, for $Q = 64$ and for $Q = 256$?

// %% [markdown] fold="Answer 3"
// One state of $H \cdot P \cdot N$ float32 numbers for each of the $L/Q$ chunks. Four times the
// chunk, a quarter of the memory: one more reason for large chunks where texts are long.

// %% fold="Answer 3"
func stateMemory(q: Int) -> Double { Double(131_072 / q * 32 * 128 * 128 * 4) / 0x1p30 }
print("Q = 64: \(text(stateMemory(q: 64))) GiB, Q = 256: \(text(stateMemory(q: 256))) GiB")
claim("a quarter", stateMemory(q: 256) * 4 == stateMemory(q: 64))
