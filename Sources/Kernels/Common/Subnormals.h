//  Numbers below the normal range are slow on many processors, a hundred cycles each, and what
//  decays passes through them.
//
//  The scan and attention take them as zero and leave zero for them. That is a rounding of at most
//  2^-126, and the same one in every table of a processor, for every split and every thread, since
//  the kernels set the mode themselves.

/// The thread's floating-point mode as it was.
typedef uint64_t float_mode;

/// Subnormal operands and results are zero from here on.
INLINE float_mode flush_subnormals(void) {
#if defined(__x86_64__)
    uint32_t mode = __builtin_ia32_stmxcsr();
    __builtin_ia32_ldmxcsr(mode | 0x8040);  // flush to zero, denormals are zeros
    return mode;
#elif defined(__aarch64__)
    float_mode mode;
    __asm__ volatile("mrs %0, fpcr" : "=r"(mode));
    __asm__ volatile("msr fpcr, %0" : : "r"(mode | 1 << 24) : "memory");  // FZ
    return mode;
#else
    return 0;
#endif
}

INLINE void restore_mode(float_mode mode) {
#if defined(__x86_64__)
    __builtin_ia32_ldmxcsr((uint32_t)mode);
#elif defined(__aarch64__)
    __asm__ volatile("msr fpcr, %0" : : "r"(mode) : "memory");
#else
    (void)mode;
#endif
}

/// Runs a call in that mode; the callee is never inlined, so that none of its arithmetic moves out.
#define WITHOUT_SUBNORMALS(call)              \
    do {                                      \
        float_mode mode = flush_subnormals(); \
        call;                                 \
        restore_mode(mode);                   \
    } while (0)

#define NEVER_INLINE __attribute__((noinline))
