/* gemm_choose.c - which product kernels run on this processor. */
#include "backend/cpu/gemm.h"

#include "base/cpu.h"

void conure_kernels_gemm(conure_kernels *kernels, uint32_t features)
{
#define KERNEL(slot, needs, function)                                                              \
    if ((features & (needs)) == (needs))                                                           \
        kernels->slot = function;
#include "backend/cpu/gemm.def"
#undef KERNEL
}
