//  A cache's bytes as they lie in memory, to and from a file: it goes on with the same bits, in the
//  middle of a chunk too, which it would not from tensors (QuantCache+Tensors.swift).
//
//  | name                | contents                                                               |
//  |---------------------|------------------------------------------------------------------------|
//  | layers.N.pages      | keys and values, the pages from the first that a window needs on       |
//  | layers.N.fading     | the same of fading tokens                                              |
//  | layers.N.scan       | a Mamba-2 layer's state, window, and the open chunk if there is one    |
//  | layers.N.matrix     | states and windows of other recurrences                                |
//
//  The layout is that of this version (`blockFormat`) and of the model's shapes and formats, and
//  the same for every instruction set.

import DualityCore

extension QuantCache {
    /// Changes whenever the layout of pages or states does.
    package static let blockFormat = "1"

    private typealias Block = (name: String, parts: [UnsafeRawBufferPointer])

    /// The bytes; valid as long as this cache is.
    private var blocks: [Block] {
        var blocks: [Block] = []
        for (i, layer) in layers.enumerated() {
            if let pages = layer.keyValues { blocks.append(("layers.\(i).pages", pages.parts)) }
            if let pages = layer.fading { blocks.append(("layers.\(i).fading", pages.parts)) }
            if let scan = layer.scan { blocks.append(("layers.\(i).scan", [scan.bytes])) }
            if let matrix = layer.matrix { blocks.append(("layers.\(i).matrix", [matrix.bytes])) }
        }
        return blocks
    }

    /// A hash of the bytes.
    ///
    /// - Complexity: O(bytes).
    package func contentHash() -> String {
        var hash = ContentHash()
        hash.add([tokenCount])
        for block in blocks {
            hash.add(block.name)
            for part in block.parts { hash.add(part) }
        }
        return hash.text
    }

    /// Adds the bytes to a file; they are read when it is written.
    package func add(to writer: inout SafetensorsWriter) throws {
        guard mirror == nil else {
            throw InputError(
                .unsupported, in: "cache", expected: "one that one rank has whole", found: "a part of it")
        }
        for block in blocks {
            let count = block.parts.reduce(0) { $0 + $1.count }
            try writer.add(block.name, dtype: .u8, shape: [count], byteCount: count) { [self] sink in
                try withExtendedLifetime(self) { for part in block.parts { try sink.write(part) } }
            }
        }
    }
}

extension QuantModel {
    /// A cache of `tokenCount` tokens from a file's bytes.
    ///
    /// - Throws: `InputError`: `.missing` or `.shape` for bytes that are not those of a cache of
    ///   this model.
    package func readCache(_ source: some TensorSource, tokenCount: Int, in memory: CacheMemory) throws -> QuantCache {
        guard ranks == nil else {
            throw InputError(
                .unsupported, in: source.place, expected: "a model on one rank", found: "several ranks",
                remedy: "Read the tokens instead.")
        }
        var cache = makeCache(in: memory)
        cache.tokenCount = tokenCount
        func read(_ name: String, _ body: (UnsafeRawBufferPointer) -> Bool) throws {
            let info = try source.info(name)
            guard try source.withBytes(of: name, body) else {
                throw InputError(
                    .shape, in: "\(source.place): \(name)",
                    expected: "the bytes of a cache of \(tokenCount) tokens of this model",
                    found: "\(info.byteCount) bytes")
            }
        }
        for i in cache.layers.indices {
            if var pages = cache.layers[i].keyValues {
                try read("layers.\(i).pages") {
                    pages.fill(from: $0, tokens: tokenCount, window: cache.shape.keyValues[i]?.window)
                }
                cache.layers[i].keyValues = pages
            }
            if var pages = cache.layers[i].fading {
                try read("layers.\(i).fading") {
                    pages.fill(from: $0, tokens: tokenCount, window: cache.shape.keyValues[i]?.fadingWindow)
                }
                cache.layers[i].fading = pages
            }
            if var scan = cache.layers[i].scan {
                try read("layers.\(i).scan") { scan.fill(from: $0, tokens: tokenCount) }
                cache.layers[i].scan = scan
            }
            if var matrix = cache.layers[i].matrix {
                try read("layers.\(i).matrix") { matrix.fill(from: $0) }
                cache.layers[i].matrix = matrix
            }
        }
        return cache
    }
}
