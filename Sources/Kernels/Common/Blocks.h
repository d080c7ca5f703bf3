//  Block sizes and prefetch distances, each with the cache that it is for.
//
//  Measured on Sapphire Rapids (48 KiB L1, 2 MiB L2) and Zen 4 (32 KiB L1, 1 MiB L2); a file of
//  `Isa/` may define a distance of its own before it includes the kernels. Blocks of a sum
//  (SUM_COLUMNS, pages, segments, chunks) are part of the arithmetic and the same everywhere.

enum {
    // Products.
    SUM_COLUMNS = 256,       ///< columns of float32 sums that are summed by themselves: the bits depend on it;
                             ///< 256 x 32 weights are 32 KiB of float32, one block in L1
    INT8_COLUMNS = 512,      ///< columns of int8 that are worked on together: 16 KiB of weights in L1
    INT8_GROUP_STEPS = 128,  ///< steps of 4 columns of groups that stay in L1 (16 KiB) for a tile's other half
    PANELS_TOGETHER = 8,     ///< panels that share a block of activations in L2
    BLOCK_TOKENS = 516,      ///< tokens whose block of activations stays in L2 (512 KiB of float32); 43 tiles of 12
    TILES_TOGETHER = BLOCK_TOKENS / TILE,

    // The rest.
    CONVOLUTION_CHANNELS = 512,  ///< channels whose weights and rows stay in L1 over all tokens
    HEADS_TOGETHER = 8,          ///< SSM heads whose states (64 KiB each at 128 x 128) stay in L2 over the chunks
    ATTENTION_ROWS = 128,        ///< rows that go through a page together: q, output and scores are 3 x 64 KiB, L2
    KEYS_WIDENED = 32,           ///< keys that are widened together: 16 KiB of float32 at D = 128, L1
};
