/* gemm_tiles_int8.c - the AMX kernel of this type as it is, on tiles in memory. */
#include <stdbool.h>
#define CONURE_TILES "backend/tiles.h"
#include "gemm_tiles.h"
#define conure_gemm_int8_amx emulated_gemm_int8
#include "backend/cpu/gemm_amx_int8.c"

bool emulated_int8_released(void)
{
    return !tiles_.configured;
}
