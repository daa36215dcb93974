/* rows_choose.c - which row kernels run on this processor. */
#include "backend/cpu/rows.h"

#include "base/cpu.h"

void conure_kernels_rows(conure_kernels *kernels, uint32_t features)
{
    conure_rows_c(kernels);
#if defined(__x86_64__)
    if (features & CONURE_CPU_AVX2)
        conure_rows_avx2(kernels);
    if (features & CONURE_CPU_AVX512)
        conure_rows_avx512(kernels);
#else
    (void)features;
#endif
}
