//  Shows ThreadSanitizer what orders threads inside the toolchain's libraries, which are not
//  instrumented:
//
//      Mutex            a lock that nobody waits for is taken and freed in code that is compiled with its user, and seen; one
//                       that somebody waits for, in the library. Whoever has waited would seem to hold nothing
//      continuations    a task that is resumed before it has come to wait goes on at once, and would seem to have what it
//                       was resumed with from nowhere
//      copies           who finds itself the only owner of an array's memory writes to it, after whoever had a copy has read
//                       and let go of it: the count of references orders the two
//
//  To be loaded before the program (LD_PRELOAD): the libraries' functions, with the order that they
//  establish said aloud.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

typedef __attribute__((swiftcall)) void lock_slowly(uint32_t thread, __attribute__((swift_context)) void *lock);
typedef __attribute__((swiftcall)) void unlock_slowly(__attribute__((swift_context)) void *lock);

#define LOCK_SLOWLY "$s15Synchronization12_MutexHandleV9_lockSlowyys6UInt32VF"
#define UNLOCK_SLOWLY "$s15Synchronization12_MutexHandleV11_unlockSlowyyF"

extern void __tsan_acquire(void *address);
extern void __tsan_release(void *address);

static void *next(const char *name) {
    void *function = dlsym(RTLD_NEXT, name);
    // Another toolchain: better no check than one that says nothing.
    if (!function) abort();
    return function;
}

__attribute__((swiftcall)) void seen_lock(uint32_t thread, __attribute__((swift_context)) void *lock) __asm__(LOCK_SLOWLY);
__attribute__((swiftcall)) void seen_lock(uint32_t thread, __attribute__((swift_context)) void *lock) {
    ((lock_slowly *)next(LOCK_SLOWLY))(thread, lock);
    __tsan_acquire(lock);
}

__attribute__((swiftcall)) void seen_unlock(__attribute__((swift_context)) void *lock) __asm__(UNLOCK_SLOWLY);
__attribute__((swiftcall)) void seen_unlock(__attribute__((swift_context)) void *lock) {
    __tsan_release(lock);
    ((unlock_slowly *)next(UNLOCK_SLOWLY))(lock);
}

typedef __attribute__((swiftasynccall)) void await_resumption(void *continuation);

extern void *swift_task_getCurrent(void);

/// Who resumes a task says so by the task's address before it marks the continuation as resumed.
__attribute__((swiftasynccall)) void swift_continuation_await(void *continuation) {
    await_resumption *real = (await_resumption *)next("swift_continuation_await");
    __tsan_acquire(swift_task_getCurrent());
    __attribute__((musttail)) return real(continuation);
}

// Functions that are called for every value: looked up once. More than one thread may do so, to
// the same end.
#define LOOKED_UP(type, name)                                                          \
    static type *real_##name(void) {                                                   \
        static type *function;                                                         \
        type *found = __atomic_load_n(&function, __ATOMIC_RELAXED);                    \
        if (!found) __atomic_store_n(&function, found = next(#name), __ATOMIC_RELAXED); \
        return found;                                                                  \
    }

typedef void let_go(void *object);
typedef void let_go_of_some(void *object, uint32_t count);
typedef bool is_only(const void *object);
LOOKED_UP(let_go, swift_release)
LOOKED_UP(let_go_of_some, swift_release_n)
LOOKED_UP(is_only, swift_isUniquelyReferenced_native)
LOOKED_UP(is_only, swift_isUniquelyReferenced_nonNull_native)

/// Whether there is an object of which the runtime counts references: immortal ones are not
/// written to.
static bool is_counted(const void *object) { return (intptr_t)object > 0; }

void swift_release(void *object) {
    if (is_counted(object)) __tsan_release(object);
    real_swift_release()(object);
}

void swift_release_n(void *object, uint32_t count) {
    if (is_counted(object)) __tsan_release(object);
    real_swift_release_n()(object, count);
}

bool swift_isUniquelyReferenced_native(const void *object) {
    bool only = real_swift_isUniquelyReferenced_native()(object);
    if (only && is_counted(object)) __tsan_acquire((void *)(uintptr_t)object);
    return only;
}

bool swift_isUniquelyReferenced_nonNull_native(const void *object) {
    bool only = real_swift_isUniquelyReferenced_nonNull_native()(object);
    if (only && is_counted(object)) __tsan_acquire((void *)(uintptr_t)object);
    return only;
}
