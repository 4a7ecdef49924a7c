// Comes before ggml's AMX kernels, where GCC compiles them.
//
// ldtilecfg reads 64 bytes, but GCC's _tile_loadconfig (seen in 12.2) says that it reads 8. The optimizer then
// drops the stores of the other 56, and the first tile instruction is SIGILL: llama.cpp pull request 26954.
#pragma once

#include <immintrin.h>

#define _tile_loadconfig(config) \
    __asm__ volatile("ldtilecfg %0" : : "m"(*reinterpret_cast<const unsigned char (*)[64]>(config)))
