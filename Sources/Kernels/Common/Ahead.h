//  Prefetch distances, each with the cache that it is for.
//
//  A file of `Isa/` may define a distance of its own before it includes the kernels.

// Bytes ahead of the reader. One pass over memory wants what memory brings while some lines are
// worked on: latency times bandwidth of a core, about 100 ns x 20 GB/s = 2 KiB, and as much again.

#ifndef AHEAD_L1
#define AHEAD_L1 4096  // streams whose activations leave room in L1
#endif
#ifndef AHEAD_L2
#define AHEAD_L2 8192  // streams beside a full L1; and far ahead, where L2 may wait for more lines than L1
#endif
#ifndef AHEAD_FROM_L2
#define AHEAD_FROM_L2 1536  // from there into L1
#endif
#ifndef AHEAD_NARROW
#define AHEAD_NARROW 2048  // int8 keys, of which a line is many
#endif

/// Asks for the cache line at `bytes` ahead of p, into L1 or into L2.
#define FETCH_L1(p, bytes) __builtin_prefetch((const char *)(p) + (bytes), 0, 3)
#define FETCH_L2(p, bytes) __builtin_prefetch((const char *)(p) + (bytes), 0, 2)
