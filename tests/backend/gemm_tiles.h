/* gemm_tiles.h - the AMX kernels on emulated tiles. */
#ifndef CONURE_TEST_GEMM_TILES_H
#define CONURE_TEST_GEMM_TILES_H

#include <stdbool.h>

#include "backend/cpu/gemm.h"

conure_gemm_int8_fn emulated_gemm_int8;
conure_gemm_bf16_fn emulated_gemm_bf16;

/* Whether the tiles were given back, as they must be at the end of each call. */
bool emulated_int8_released(void);
bool emulated_bf16_released(void);

#endif
