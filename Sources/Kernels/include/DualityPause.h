//  The hint of a spin loop, which Swift has no public spelling for.

#ifndef DUALITY_PAUSE_H
#define DUALITY_PAUSE_H

/// Tells the processor that this thread waits for another: it saves power and leaves the loop
/// without a penalty.
static inline void dk_pause(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

#endif
