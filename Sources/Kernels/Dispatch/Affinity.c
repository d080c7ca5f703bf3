//  The processors of a thread, by the system's calls.

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "DualityAffinity.h"

#if defined(__linux__)

#include <sched.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

// The C library's calls want masks of its own size; the system takes any that is large enough, in
// words.
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "words of masks are read byte by byte");

int64_t dk_get_affinity(uint8_t *mask, int64_t bytes) {
    memset(mask, 0, (size_t)bytes);
    long written = syscall(SYS_sched_getaffinity, 0, (unsigned long)bytes, mask);
    return written > 0 ? written : 0;
}

bool dk_set_affinity(const uint8_t *mask, int64_t bytes) {
    return syscall(SYS_sched_setaffinity, 0, (unsigned long)bytes, mask) == 0;
}

int64_t dk_processor(void) { return sched_getcpu(); }

#else

int64_t dk_get_affinity(uint8_t *mask, int64_t bytes) {
    (void)mask, (void)bytes;
    return 0;
}

bool dk_set_affinity(const uint8_t *mask, int64_t bytes) {
    (void)mask, (void)bytes;
    return false;
}

int64_t dk_processor(void) { return -1; }

#endif
