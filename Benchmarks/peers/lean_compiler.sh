#!/bin/sh
# A compiler launcher: files of llama.cpp and ik_llama.cpp that do not run in what is measured here are compiled with -O1, which
# saves most of the build's time.
#
#   lean_compiler.sh c++ ARGUMENTS…
#
# Those are ik_llama.cpp's products of quantized types and attention of head sizes that we do not time, and what only builds graphs.
case "$*" in
*iqk_gemm_1bit.cpp* | *iqk_gemm_iqk_quants.cpp* | *iqk_gemm_iquants.cpp* | *iqk_gemm_ktquants.cpp*) exec "$@" -O1 ;;
*iqk_fa_128_128.cpp*) ;;
*iqk_fa_*) exec "$@" -O1 ;;
*src/CMakeFiles/llama.dir/*) exec "$@" -O1 ;;
esac
exec "$@"
