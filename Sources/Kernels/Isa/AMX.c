//  AVX-512 with the tile unit, AMX: Sapphire Rapids and later. All but the int8, int4 and
//  bf16-split products, from sixteen tokens on, is the table of AVX-512.

#include "../Dispatch/Tables.h"

#if defined(__x86_64__) && defined(__linux__)

#include <cpuid.h>
#include <immintrin.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#pragma clang attribute push(                                                                                \
    __attribute__((target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512bf16,amx-tile," \
                          "amx-int8,amx-bf16"))),                                                            \
    apply_to = function)

#include "../Common/Lanes.h"
#include "AVX512Shuffle.h"
#include "../Common/Arithmetic.h"
#include "../Common/Ahead.h"
#include "../Common/Subnormals.h"
#include "../Common/VectorFunctions.h"
#include "../Products/Results.h"
#include "../Products/Int8Rounding.h"
#include "../Products/Int4Alphabet.h"
#include "../Products/SplitRow.h"
#include "AMXTiles.h"
#include "AMXPacking.h"
#include "AMXInt8.h"
#include "AMXBF16.h"
#include "AMXProbes.h"

static dk_kernels table;
static const dk_kernels *base;

static void int8_activations(const float *x, int64_t ldx, int64_t tokens, int64_t columns, int64_t group, int64_t first,
                             int64_t count, void *packed) {
    if (serves_tiles(tokens, columns, group)) tile_activations(x, ldx, tokens, columns, group, first, count, packed);
    else base->int8_activations(x, ldx, tokens, columns, group, first, count, packed);
}

static void int8_matmul(const dk_int8_matrix *w, const void *activations, int64_t tokens, int64_t panelBegin,
                        int64_t panelEnd, float *y, int64_t ldy, void *workspace) {
    if (serves_tiles(tokens, w->columns, w->group))
        tile_matmul(w, activations, tokens, panelBegin, panelEnd, y, ldy, workspace);
    else base->int8_matmul(w, activations, tokens, panelBegin, panelEnd, y, ldy, workspace);
}

/// int8 and int4 have the same activations: what packs them for tiles has to multiply both by them.
static void int4_matmul(const dk_int4_matrix *w, const void *activations, int64_t tokens, int64_t panelBegin,
                        int64_t panelEnd, float *y, int64_t ldy, void *workspace) {
    if (serves_tiles(tokens, w->columns, w->group))
        tile_int4_matmul(w, activations, tokens, panelBegin, panelEnd, y, ldy, workspace);
    else base->int4_matmul(w, activations, tokens, panelBegin, panelEnd, y, ldy, workspace);
}

static void bf16_split_activations(const float *x, int64_t ldx, int64_t tokens, int64_t columns, int64_t first,
                                   int64_t count, void *packed) {
    if (splits_tiles(tokens, columns)) tile_split_activations(x, ldx, tokens, columns, first, count, packed);
    else base->bf16_split_activations(x, ldx, tokens, columns, first, count, packed);
}

static void bf16_split_matmul(const dk_bf16_matrix *w, const void *activations, int64_t tokens, int64_t panelBegin,
                              int64_t panelEnd, float *y, int64_t ldy, void *workspace) {
    split_matrix matrix = {.rows = w->rows, .columns = w->columns, .plain = w->weights};
    if (splits_tiles(tokens, w->columns))
        tile_split_matmul(base, &matrix, activations, tokens, panelBegin, panelEnd, y, ldy, workspace);
    else base->bf16_split_matmul(w, activations, tokens, panelBegin, panelEnd, y, ldy, workspace);
}

static void compact_split_matmul(const dk_compact_matrix *w, const void *activations, int64_t tokens,
                                 int64_t panelBegin, int64_t panelEnd, float *y, int64_t ldy, void *workspace) {
    split_matrix matrix = {.rows = w->rows, .columns = w->columns, .compact = w};
    if (splits_tiles(tokens, w->columns))
        tile_split_matmul(base, &matrix, activations, tokens, panelBegin, panelEnd, y, ldy, workspace);
    else base->compact_split_matmul(w, activations, tokens, panelBegin, panelEnd, y, ldy, workspace);
}

#pragma clang attribute pop

#ifdef DUALITY_EMULATED_TILES

static bool has_tiles(void) { return true; }

#else

/// Whether the processor has the unit, the system saves its registers (XCR0 bits 17 and 18), and
/// lets this process use them: it asks once, because they enlarge what a signal has to save.
static bool has_tiles(void) {
    enum { TILE_UNIT = 1 << 24, TILE_INT8 = 1 << 25, TILE_BF16 = 1 << 22, OSXSAVE = 1 << 27 };
    enum { SAVED = 1 << 17 | 1 << 18, ARCH_REQ_XCOMP_PERM = 0x1023, XFEATURE_XTILEDATA = 18 };
    const unsigned wanted = TILE_UNIT | TILE_INT8 | TILE_BF16;
    unsigned a, b, c, d;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || (d & wanted) != wanted) return false;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & OSXSAVE)) return false;
    __asm__ volatile("xgetbv" : "=a"(a), "=d"(d) : "c"(0));
    if ((a & SAVED) != SAVED) return false;
    return syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0;
}

#endif

static void make_table(void) {
    base = dk_avx512_kernels();
    if (!base || !has_tiles()) return;
    table = *base;
    table.isa = DK_AMX;
    table.name = "amx";
    table.summary =
        "int8 and int4 by tdpbsud, bf16-split by tdpbf16ps, from 16 tokens on; below, and the rest, as avx512";
    table.int8_activations = int8_activations;
    table.int8_matmul = int8_matmul;
    table.int4_matmul = int4_matmul;
    table.bf16_split_activations = bf16_split_activations;
    table.bf16_split_matmul = bf16_split_matmul;
    table.compact_split_matmul = compact_split_matmul;
    table.probe_int8 = probe_int8;
    table.probe_split = probe_split;
}

const dk_kernels *dk_amx_kernels(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_table);
    return table.name ? &table : 0;
}

#else

const dk_kernels *dk_amx_kernels(void) { return 0; }

#endif
