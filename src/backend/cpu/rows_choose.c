/* rows_choose.c - which row kernels run on this processor. */
#include "backend/cpu/rows.h"

#include "base/cpu.h"

void conure_kernels_rows(conure_kernels *kernels, uint32_t features)
{
    (void)features;
    conure_rows_c(kernels);
}
