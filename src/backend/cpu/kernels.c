/* kernels.c - fills the kernel table; each part of the table chooses its own variants. */
#include "backend/cpu/kernels.h"

#include "backend/cpu/gemm.h"
#include "backend/cpu/rows.h"

void conure_kernels_choose(conure_kernels *kernels, uint32_t features)
{
    conure_kernels_gemm(kernels, features);
    conure_kernels_rows(kernels, features);
}
