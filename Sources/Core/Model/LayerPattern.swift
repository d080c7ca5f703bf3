//  Which mixer each layer has.
//
//      pattern := symbol ("-" symbol)*         one symbol a layer: * | M2 | GDN | GKA | BMF | SWA
//
//  `hybrid_override_pattern` decides; without it, `layer_types`; without that, a dense model is
//  attention throughout (with a sliding window from `max_window_layers` on, if it has one).
//
//  Source: awslabs/hybrid-model-factory, models/utils.py (LAYER_TYPE_PATTERNS,
//  parse_override_pattern).

package enum LayerPattern {
    /// Symbols of the two-stream models that distillation trains; they are not inference models.
    package static let fused: Set<String> = ["*DA", "M2*", "GDN*", "GKA*", "BMF*", "SWA*", "GDN>GKA"]
    private static let layerLimit = 1 << 16

    /// The mixers of the layers a config.json asks for.
    ///
    /// - Throws: `InputError`: `.unknown` for a symbol that means nothing, `.unsupported` for a
    ///   fused one, `.value` for a wrong count of them, `.missing` when nothing says what the
    ///   layers are.
    package static func read(_ fields: JSONFields, warnings: inout [String]) throws(InputError) -> [LayerKind] {
        let declared = try fields.int("num_hidden_layers", in: 1...layerLimit)
        let types = try fields.strings("layer_types")
        if let pattern = try fields.string("hybrid_override_pattern") {
            let symbols = pattern.split(separator: "-", omittingEmptySubsequences: false).map(String.init)
            let place = fields.place(of: "hybrid_override_pattern")
            let layers = try kinds(symbols, place: place)
            try checkCount(layers.count, declared, place: place, warnings: &warnings)
            if let types, types != symbols {
                warnings.append("layer_types is not what hybrid_override_pattern says; the pattern decides.")
            }
            return layers
        }
        if let types {
            let place = fields.place(of: "layer_types")
            let layers = try kinds(types, place: place)
            try checkCount(layers.count, declared, place: place, warnings: &warnings)
            if layers.contains(where: { $0 != .attention && $0 != .slidingWindowAttention }) {
                warnings.append(
                    "There is no hybrid_override_pattern, which the official code requires; layer_types is used.")
            }
            return layers
        }
        guard try fields.string("model_type") == "qwen3" else {
            throw InputError(
                .missing, in: fields.place(of: "hybrid_override_pattern"), expected: "a pattern such as \"*-M2-*-M2\"",
                found: "nothing")
        }
        _ = try fields.int("sliding_window")
        let isWindowed = try fields.bool("use_sliding_window") == true && fields.object["sliding_window"] != .null
        let firstWindowed = try fields.int("max_window_layers") ?? 28
        return (0..<(declared ?? 32)).map { isWindowed && $0 >= firstWindowed ? .slidingWindowAttention : .attention }
    }

    private static func kinds(_ symbols: [String], place: String) throws(InputError) -> [LayerKind] {
        var kinds: [LayerKind] = []
        for (i, symbol) in symbols.enumerated() {
            switch symbol {
            case "full_attention": kinds.append(.attention)
            case "sliding_attention": kinds.append(.slidingWindowAttention)
            default: kinds.append(try kind(symbol, place: "\(place), layer \(i)"))
            }
        }
        return kinds
    }

    private static func kind(_ symbol: String, place: String) throws(InputError) -> LayerKind {
        if let kind = LayerKind(rawValue: symbol) { return kind }
        let known = "one of \(LayerKind.allCases.map(\.rawValue).joined(separator: ", "))"
        if fused.contains(symbol) {
            throw InputError(
                .unsupported, in: place, expected: known, found: "\"\(symbol)\", a layer of a model in distillation",
                remedy: "Convert the fused checkpoint to an inference model first.")
        }
        let meant = LayerKind.allCases.first { $0.rawValue == symbol.uppercased().filter { !$0.isWhitespace } }
        throw InputError(
            .unknown, in: place, expected: known, found: "\"\(symbol)\"",
            remedy: meant.map { "Is it \"\($0.rawValue)\"?" } ?? "")
    }

    private static func checkCount(
        _ count: Int, _ declared: Int?, place: String, warnings: inout [String]
    ) throws(InputError) {
        guard let declared else {
            warnings.append("num_hidden_layers is absent; the layers listed are taken, \(count).")
            return
        }
        guard count == declared else {
            throw InputError(
                .value, in: place, expected: "\(declared) layers, as num_hidden_layers says", found: "\(count)")
        }
    }
}
