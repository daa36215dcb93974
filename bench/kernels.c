/* kernels.c - what ran on the GPU, kernel by kernel, of any program that uses CUDA; what TensorRT fuses is one part to TensorRT, and here it is
 * taken apart again.  CUPTI is in the CUDA toolkit and in the Python package nvidia-cuda-cupti:
 *
 *     cc -O1 -shared -fPIC -I$CUDA/include bench/kernels.c -o libkernels.so $CUDA/lib64/libcupti.so
 *     CUDA_INJECTION64_PATH=$PWD/libkernels.so KERNELS=trace conure engine time --engine trt:f16 --steps 5
 *     python3 bench/kernels.py trace
 *
 * Lines of the file KERNELS, times in nanoseconds: K kernel, C copy, S set; start, duration, node of the CUDA graph (0: none), then grid and
 * block and name, or bytes. */
#include <cupti.h>
#include <stdio.h>
#include <stdlib.h>

enum { BUFFER_BYTES = 8 << 20 };
static FILE *out;

static void want(uint8_t **buffer, size_t *bytes, size_t *records_max)
{
    *buffer = aligned_alloc(8, BUFFER_BYTES);
    *bytes = *buffer ? BUFFER_BYTES : 0;
    *records_max = 0;
}

static void put(char kind, uint64_t start, uint64_t end, uint64_t node)
{
    fprintf(out, "%c %llu %llu %llu ", kind, (unsigned long long)start, (unsigned long long)(end - start), (unsigned long long)node);
}

static void full(CUcontext context, uint32_t stream, uint8_t *buffer, size_t bytes, size_t valid)
{
    CUpti_Activity *a = NULL;
    (void)context, (void)stream, (void)bytes;
    while (cuptiActivityGetNextRecord(buffer, valid, &a) == CUPTI_SUCCESS) {
        if (a->kind == CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL) {
            const CUpti_ActivityKernel10 *k = (const CUpti_ActivityKernel10 *)a;
            put('K', k->start, k->end, k->graphNodeId);
            fprintf(out, "%d,%d,%d %d,%d,%d %s\n", k->gridX, k->gridY, k->gridZ, k->blockX, k->blockY, k->blockZ, k->name ? k->name : "?");
        } else if (a->kind == CUPTI_ACTIVITY_KIND_MEMCPY) {
            const CUpti_ActivityMemcpy6 *c = (const CUpti_ActivityMemcpy6 *)a;
            put('C', c->start, c->end, c->graphNodeId);
            fprintf(out, "%llu copy\n", (unsigned long long)c->bytes);
        } else if (a->kind == CUPTI_ACTIVITY_KIND_MEMSET) {
            const CUpti_ActivityMemset4 *s = (const CUpti_ActivityMemset4 *)a;
            put('S', s->start, s->end, s->graphNodeId);
            fprintf(out, "%llu set\n", (unsigned long long)s->bytes);
        }
    }
    free(buffer);
}

static void end(void)
{
    cuptiActivityFlushAll(1);
    fclose(out);
}

int InitializeInjection(void); /* the name that CUDA looks for */
int InitializeInjection(void)
{
    out = fopen(getenv("KERNELS") ? getenv("KERNELS") : "kernels.trace", "w");
    if (!out || cuptiActivityRegisterCallbacks(want, full) != CUPTI_SUCCESS)
        return 0;
    cuptiActivityEnable(CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL);
    cuptiActivityEnable(CUPTI_ACTIVITY_KIND_MEMCPY);
    cuptiActivityEnable(CUPTI_ACTIVITY_KIND_MEMSET);
    atexit(end);
    return 1;
}
