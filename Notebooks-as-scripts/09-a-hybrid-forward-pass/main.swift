// %% [markdown]
// # A hybrid forward pass, step by step
//
// One Mamba-2 layer of a trained model, computed by hand from its own parts. Then what such layers
// save: memory for certain, and speed as far as counting bytes and operations can tell.
//
// At the end you will know
//
// - the nine steps of the layer, with real numbers flowing through them;
// - how the two kinds of memory grow: keys and values with every token, states not at all;
// - how much of a published throughput table follows from a configuration file, and where it does
//   not.

// %% [markdown]
// ## A sentence on its way in
//
// The embedded model has attention and Mamba-2 layers in turn. It reads a sentence, and we note
// down the residual stream after every layer: after layer 0, which is attention, and after layer 1,
// which we will rebuild.

// %%
import DualityCore
import DualityMeasure
import DualityNotebook
import DualityReference

let embedded = EmbeddedModel<Double>.open()
let model = embedded.model
let tokens = embedded.tokenizer.encode(
    "Once upon a time there was a fox named Pip, who was afraid of deep water.")
let length = tokens.count
var stream: [Tensor<Double>] = []
var cache = model.makeCache()
let logits = try model.extend(&cache, by: tokens) { seen in
    if case .layer(_, .output(let h)) = seen { stream.append(h) }
}
print(try tokens.map { "[\(try embedded.tokenizer.decode([$0]))]" }.joined())

// %% [markdown]
// ## The nine steps
//
// First a norm and one wide projection that makes everything at once: a gate $z$, the input $x$,
// the directions $B$ and $C$, the step $\Delta$. As in attention, value $x$ and key $B$ have fewer
// heads than query $C$.

// %%
let layer = model.layers[1]
let (mixer, mlp, norm) = layer.mamba2Parts()
let (heads, p) = (mixer.headCount, mixer.headDim)
let (inner, shared) = (heads * p, mixer.keyValueHeadCount * p)

func rms(_ tensor: Tensor<Double>) -> Double {
    (tensor.elements.reduce(0) { $0 + $1 * $1 } / Double(tensor.count)).squareRoot()
}
let u = layer.inputNorm(stream[0])  // 1
let projected = mixer.inputProjection(u)  // 2
let (z, x, b, c, dt) = mixer.split(projected)
let (bNormed, cNormed) = (mixer.bNorm?(b) ?? b, mixer.cNorm?(c) ?? c)  // 3

// %% [markdown]
// Then a short convolution: each channel of $x$, $B$ and $C$ mixes its last four values, so that a
// token sees its neighbours before the state does. SiLU follows. Then SSD, the gate, and the way
// out.

// %%
let xbc = (0..<length).flatMap { t in [x, bNormed, cNormed].flatMap { $0.rows(t..<t + 1).elements } }
var window = mixer.convolution.emptyWindow
let convolved = mixer.convolution.extend(
    try Tensor(shape: [length, 2 * shared + inner], elements: xbc), window: &window  // 4
).map { Double.silu($0) }  // 5
let scan = try mixer.scanInputs(convolved: convolved, dt: dt)
let y = try SSDForm.recurrent.evaluate(scan).y.reshaped([length, inner])  // 6
let gated = mixer.gatedNorm(y, gate: z)  // 7
let out = mixer.outputProjection(gated)  // 8
func sum(_ a: Tensor<Double>, _ b: Tensor<Double>) throws -> Tensor<Double> {
    try Tensor(shape: a.shape, elements: zip(a.elements, b.elements).map(+))
}
let mixed = try sum(stream[0], out)
let after = try sum(mixed, mlp(norm(mixed)))  // 9
let steps: [(String, Tensor<Double>)] = [
    ("0  residual stream h", stream[0]), ("1  norm u", u), ("2  gate z", z), ("   x", x), ("   B", b),
    ("   C", c), ("   dt", dt), ("3  B, each head normed", bNormed),
    ("4–5  x, B, C convolved, SiLU", convolved),
    ("6  SSD y", y), ("7  gate, norm", gated), ("8  projection out", out), ("9  h + out + MLP", after),
]
table(
    ["step", "shape", "root mean square"],
    steps.map { [$0, "\($1.shape[0]) × \($1.shape[1])", text(rms($1))] })
let difference = zip(after.elements, stream[1].elements).map { abs($0 - $1) }.max() ?? 1
value("difference", difference, .scientific(1))
claim("by hand and by the model, layer 1 gives the same", difference < 1e-12)

// %% [markdown]
// The largest difference from the model's own layer is {{difference}}. Nothing was left out.
//
// What do the heads do with the sentence? Here are their steps $\Delta_t$. A dark token is let
// pass.

// %%
let delta = scan.effectiveSteps()
let stepMap = (0..<heads).map { h in (0..<length).map { delta[0, $0, h] } }
figure(
    "heads", "The steps of the six heads of layer 1 along the sentence.",
    .map(x: "token", y: "head (from 1)", colour: Axis("Δ", .log10), stepMap))

// %% [markdown]
// ## Two kinds of memory
//
// Attention layers cache a key and a value of every token, Mamba-2 layers one state and the last
// three inputs of the convolution. The 8B hybrid that this format comes from has 18 layers of each
// kind; its dense ancestor has 36 of attention.

// %%
func eightBillion(_ layers: [LayerKind]) -> HybridConfiguration {
    HybridConfiguration(
        vocabularySize: 151_936, hiddenSize: 4096, intermediateSize: 12_288, layers: layers, headCount: 32,
        keyValueHeadCount: 8, headDim: 128, maxPositions: 131_072, dtype: "bfloat16")
}
let hybrid = eightBillion((0..<36).map { $0 % 2 == 0 ? .attention : .mamba2 })
let dense = eightBillion([LayerKind](repeating: .attention, count: 36))
func bytes(_ model: HybridConfiguration, _ tokens: Int) -> Double {
    Double(model.cacheSize(tokens: tokens).bytes(keyValueBits: 16))
}
let contexts = (6...17).map { 1 << $0 }
let mebibytes = { (model: HybridConfiguration) in contexts.map { (Double($0), bytes(model, $0) / 0x1p20) } }
figure(
    "memory", "Memory of one sequence, keys and values in bfloat16, states in float32.",
    .chart(
        x: Axis("context (tokens)", .log2), y: Axis("memory (MiB)", .log10),
        .lineAndPoints("dense, 36 attention layers", mebibytes(dense)),
        .lineAndPoints("hybrid, 18 + 18", mebibytes(hybrid))))
let small = hybrid.cacheSize(tokens: 512)
let saved = bytes(dense, 131_072) / bytes(hybrid, 131_072)
value("even", (1...4096).first { bytes(hybrid, $0) < bytes(dense, $0) } ?? 0)
value("stateMiB", Double(4 * small.state) / 0x1p20, .fixed(0))
value("saved", saved, .fixed(2))
claim("the states weigh as much as 512 keys and values", 4 * small.state == 2 * small.keysAndValues)

// %% [markdown]
// The states take {{stateMiB}} MiB, as much as the hybrid's keys and values of 512 tokens. From
// {{even}} tokens on the hybrid needs less memory than its ancestor, and at 131,072 tokens
// {{saved}} times less. Keep in mind that this ratio cannot pass two: half of the layers still keep
// everything.
//
// ## From a configuration to a speed
//
// The makers of the model publish how fast it decodes on eight H200 whose memory is filled with
// sequences (README of awslabs/hybrid-model-factory, Inference Efficiency). Can we predict the gain
// from the configuration alone? A roofline: each step of a batch reads all weights and caches once,
// and computes, and the slower of the two decides. `ModelCost` counts both, as `duality family`
// does.

// %%
let published: [(context: Int, dense: Double, hybrid: Double)] = [
    (16_384, 8951, 16_844), (32_768, 5174, 9966), (65_536, 2740, 5460), (131_072, 1227, 2825),
]
// The servers keep a tenth of their memory for themselves.
let server = Machine.eightH200
let machine = Machine(
    name: server.name, bandwidth: server.bandwidth, operations: server.operations, memory: 0.9 * server.memory
)
func tokensPerSecond(_ model: HybridConfiguration, _ context: Int) throws -> Double {
    try ModelCost(model).saturatedSpeed(context: context, on: machine) ?? 0
}
let roofs = try published.map { line in
    (dense: try tokensPerSecond(dense, line.context), hybrid: try tokensPerSecond(hybrid, line.context))
}
let (predicted, found) = (roofs.map { $0.hybrid / $0.dense }, published.map { $0.hybrid / $0.dense })
table(
    [
        "context", "dense roof (tokens/s)", "published", "hybrid roof", "published", "gain by roof",
        "published",
    ],
    (0..<4).map { i in
        ["\(published[i].context / 1024)K"]
            + [roofs[i].dense, published[i].dense, roofs[i].hybrid, published[i].hybrid].map { text($0) }
            + [predicted[i], found[i]].map { text($0, .fixed(2)) }
    })
func points(_ gains: [Double]) -> [(Double, Double)] {
    zip(published, gains).map { (Double($0.context), $1) }
}
figure(
    "throughput", "How much faster the hybrid decodes than its dense ancestor.",
    .chart(
        x: Axis("context (tokens)", .log2), y: Axis("gain (times)", range: 1.7...2.4),
        .lineAndPoints("published", points(found)), .dashed("roofline", points(predicted))))
let near = (0..<3).map { abs(predicted[$0] / found[$0] - 1) }.max() ?? 1
value("near", near, .percent(1))
value("first", found[0], .fixed(2))
value("farPredicted", predicted[3], .fixed(2))
value("farPublished", found[3], .fixed(2))
let percents = { (shares: [Double]) in shares.map { text($0, .percent(0)) }.joined(separator: ", ") }
value("denseShares", percents(zip(published, roofs).map { $0.dense / $1.dense }))
value("hybridShares", percents(zip(published, roofs).map { $0.hybrid / $1.hybrid }))
claim("up to 64K the prediction is within 3 %", near < 0.03)
claim("no roofline of half the layers passes two", predicted.allSatisfy { $0 < 2 })

// %% [markdown]
// From 16K to 64K tokens the prediction is within {{near}} of the published gain: {{first}} at 16K,
// growing towards two. With short contexts the states are a noticeable part of the hybrid's memory
// and of what each step moves. With long ones only keys and values count, and the hybrid has half
// of them.
//
// At 128K it fails, and says so. Bytes and operations give {{farPredicted}}; published is
// {{farPublished}}, beyond the two that halving can explain. Which model is off? Divide the
// published speeds by their roofs, from 16K to 128K. The hybrid reaches {{hybridShares}}, nearer
// from row to row. The dense model reaches {{denseShares}}: it falls back in the last row. A
// roofline knows nothing of schedulers and preempted sequences. It says where to look.
//
// ## Exercises
//
// **1.** Which part of the layer has the most weights? Guess, then count.

// %% [markdown] fold="Answer 1"
// The MLP, by far. In the Mamba-2 mixer itself it is the projection in, which makes $z$, $x$, $B$,
// $C$ and $\Delta$.

// %% fold="Answer 1"
let (gate, wayIn) = (mlp.gate.weight.count, mixer.inputProjection.weight.count)
print("MLP \(text(3 * gate)), projection in \(text(wayIn)), out \(text(out.shape[1] * inner))")
claim("the MLP leads", 3 * gate > wayIn && wayIn > out.shape[1] * inner)

// %% [markdown]
// **2.** Feed the sentence in two pieces. What must be handed from one to the other, and does the
// split show?

// %% [markdown] fold="Answer 2"
// The cache, a value: keys, values, states, windows, and the number of tokens. The split does not
// show.

// %% fold="Answer 2"
var pieces = model.makeCache()
_ = try model.extend(&pieces, by: Array(tokens[..<7]), logits: .none)
let rest = try model.extend(&pieces, by: Array(tokens[7...]), logits: .last)
let differences = zip(rest.elements, logits.elements.suffix(rest.count)).map { abs($0 - $1) }
print("largest difference of a logit: \(text(differences.max() ?? 1, .scientific(1)))")
claim("two pieces are as good as one", differences.allSatisfy { $0 < 1e-11 })

// %% [markdown]
// **3.** With three Mamba-2 layers for each attention layer, what gain does the roofline promise at
// 128K?

// %% [markdown] fold="Answer 3"
// A quarter of the keys and values are left, so nearly four, less what states and arithmetic take.

// %% fold="Answer 3"
let leaner = eightBillion((0..<36).map { $0 % 4 == 0 ? .attention : .mamba2 })
let gain = try tokensPerSecond(leaner, 131_072) / tokensPerSecond(dense, 131_072)
print("gain \(text(gain, .fixed(2)))")
claim("between 3.5 and 4", gain > 3.5 && gain < 4)
