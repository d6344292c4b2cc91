// Included before ggml-cpu/amx/mmq.cpp (see Llama.cmake). g++ 12 tells its optimiser that
// _tile_loadconfig() reads the first 8 of the 64 bytes, so the lines that fill in the tiles' rows are
// left out as dead, and the first tile instruction after it ends the program with SIGILL.
#pragma once

#if defined(__AMX_TILE__) && defined(__GNUC__) && !defined(__clang__)
#include <immintrin.h>

static inline __attribute__((always_inline)) void switchyard_tile_loadconfig(const void* config) {
  __asm__ volatile("ldtilecfg\t%X0" ::"m"(*(const unsigned char(*)[64])config));
}
#define _tile_loadconfig switchyard_tile_loadconfig
#endif
