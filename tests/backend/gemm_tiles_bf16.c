/* gemm_tiles_bf16.c - the AMX kernel of this type as it is, on tiles in memory. */
#include <stdbool.h>
#define CONURE_TILES "backend/tiles.h"
#include "gemm_tiles.h"
#define conure_gemm_bf16_amx emulated_gemm_bf16
#include "backend/cpu/gemm_amx_bf16.c"

bool emulated_bf16_released(void)
{
    return !tiles_.configured;
}
