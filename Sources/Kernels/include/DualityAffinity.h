//  Which processors a thread may run on, where the system says it (Linux).

#ifndef DUALITY_AFFINITY_H
#define DUALITY_AFFINITY_H

#include <stdbool.h>
#include <stdint.h>

/// Writes the calling thread's mask of processors, a bit each, the lowest bit of a byte first.
/// Returns the bytes that were written; 0 where the system does not say or has more processors.
int64_t dk_get_affinity(uint8_t *mask, int64_t bytes);

/// Keeps the calling thread on these processors. False where the system does not do that.
bool dk_set_affinity(const uint8_t *mask, int64_t bytes);

/// The processor that the calling thread runs on at the moment; -1 where the system does not say.
int64_t dk_processor(void);

#endif
