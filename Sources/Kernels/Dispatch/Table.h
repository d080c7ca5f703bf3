//  The table of the instruction set whose file includes this: everything that is defined by now.

// clang-format off: a line each for what is added by different hands
#define KERNEL_TABLE(ISA, NAME, SUMMARY)                                                                              \
    {                                                                                                                 \
        .isa = ISA, .name = NAME, .summary = SUMMARY, .tile = TILE, .f32_pack = f32_pack, .f32_row = f32_row,         \
        .f32_activations = f32_activations, .f32_matmul = f32_matmul, .f32_gemm = f32_gemm, .bf16_pack = bf16_pack,   \
        .bf16_row = bf16_row, .bf16_matmul = bf16_matmul, .compact_row = compact_row,                                 \
        .compact_matmul = compact_matmul, .bf16_dot_activations = bf16_dot_activations,                               \
        .bf16_dot_matmul = bf16_dot_matmul, .compact_dot_matmul = compact_dot_matmul,                                 \
        .bf16_split_activations = bf16_split_activations, .bf16_split_matmul = bf16_split_matmul,                     \
        .compact_split_matmul = compact_split_matmul, .compact_pairs = compact_pairs_of, .int8_pack = int8_pack,      \
        .int4_pack = int4_pack, .int4_row = int4_row, .int4_matmul = int4_matmul, .int4_compensate = int4_compensate, \
        .int8_row = int8_row, .int8_activations = int8_activations, .int8_matmul = int8_matmul, .exp = exp_vector,    \
        .softplus = softplus_vector, .silu = silu_vector, .softmax = softmax, .add = add_vector,                      \
        .silu_multiply = silu_multiply, .rms_norm = rms_norm, .add_rms_norm = add_rms_norm, .gated_norm = gated_norm, \
        .rope = rope, .one_nan = one_nan, .f32_to_bf16 = f32_to_bf16, .bf16_to_f32 = bf16_to_f32,                     \
        .conv_silu = conv_silu, .ssd_prepare = ssd_prepare, .ssd_extend = ssd_extend, .ssd_retain = ssd_retain,       \
        .ssd_state = ssd_state, .kv_store = kv_store, .attention = attention, .attention_partial = attention_partial, \
        .attention_merge = attention_merge, .probe_int8 = probe_int8, .probe_f32 = probe_f32,                         \
        .probe_split = probe_f32, .probe_bf16 = probe_bf16, .probe_read = probe_read, .delta_extend = delta_extend,   \
        .kalma_extend = kalma_extend, .norm_gate = norm_gate, .fading_attention = fading_attention,                   \
        .int8_largest = int8_largest, .int8_bytes = int8_bytes, .int8_numbers = int8_numbers,                         \
    }
// clang-format on
