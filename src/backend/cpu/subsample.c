/* subsample.c - the 3x3 stride-2 convolutions of the subsampling front (spec 2) and the flattening
 * behind them.  Images are [height][width][channels]: the channels of a pixel lie together, so every
 * kernel runs along them. */
#include "backend/cpu/cpu.h"
#include "backend/cpu/kernels.h"
#include "backend/cpu/split.h"

typedef struct subsample_job {
    const conure_kernels *kernels;
    const conure_subsample *s;
    uint32_t out_height, out_width, rows_per_item;
} subsample_job;

static uint32_t halved(uint32_t n)
{
    return n / 2 + n % 2;
}

/* First stage, one channel in: the nine pixels under the kernel, zeros outside the image. */
static void first_row(const subsample_job *job, uint32_t y)
{
    const conure_subsample *s = job->s;
    for (uint32_t x = 0; x < job->out_width; x++) {
        float under[9] = {0};
        for (uint32_t dy = 0; dy < 3; dy++) {
            const int64_t in_y = 2 * (int64_t)y + dy - 1;
            for (uint32_t dx = 0; dx < 3; dx++) {
                const int64_t in_x = 2 * (int64_t)x + dx - 1;
                if (in_y >= 0 && in_y < s->height && in_x >= 0 && in_x < s->width)
                    under[3 * dy + dx] = s->src[(size_t)in_y * s->width + (size_t)in_x];
            }
        }
        job->kernels->conv9_row(s->dst + ((size_t)y * job->out_width + x) * s->channels, under,
                                s->weight, s->bias, s->channels);
    }
}

/* Depthwise stage: nine rows of channels, NULL outside the image. */
static void depthwise_row(const subsample_job *job, uint32_t y)
{
    const conure_subsample *s = job->s;
    for (uint32_t x = 0; x < job->out_width; x++) {
        const float *under[9] = {NULL};
        for (uint32_t dy = 0; dy < 3; dy++) {
            const int64_t in_y = 2 * (int64_t)y + dy - 1;
            for (uint32_t dx = 0; dx < 3; dx++) {
                const int64_t in_x = 2 * (int64_t)x + dx - 1;
                if (in_y >= 0 && in_y < s->height && in_x >= 0 && in_x < s->width)
                    under[3 * dy + dx] =
                        s->src + ((size_t)in_y * s->width + (size_t)in_x) * s->channels;
            }
        }
        job->kernels->depthwise_row(s->dst + ((size_t)y * job->out_width + x) * s->channels, under,
                                    s->weight, s->channels, s->bias, 9, s->channels,
                                    s->relu ? 1 : 0);
    }
}

static void subsample_item(void *arg, uint32_t item, uint32_t worker)
{
    const subsample_job *job = arg;
    const uint32_t first = item * job->rows_per_item;
    (void)worker;
    for (uint32_t y = first; y < job->out_height && y - first < job->rows_per_item; y++) {
        if (job->s->depthwise)
            depthwise_row(job, y);
        else
            first_row(job, y);
    }
}

conure_status conure_cpu_subsample(void *self, const conure_subsample *s, conure_error *err)
{
    conure_cpu *cpu = self;
    subsample_job job = {.kernels = cpu->kernels,
                         .s = s,
                         .out_height = halved(s->height),
                         .out_width = halved(s->width)};
    if (!s->depthwise && !s->relu)
        return conure_fail(err, CONURE_INTERNAL, "subsample: the first stage ends with a ReLU");
    job.rows_per_item = conure_split_rows((size_t)job.out_width * s->channels);
    conure_pool_run(cpu->pool, conure_split_items(job.out_height, job.rows_per_item),
                    subsample_item, &job);
    return CONURE_OK;
}

typedef struct flatten_job {
    const conure_kernels *kernels;
    conure_rows dst;
    const float *src;
    uint32_t width, channels, rows_per_item;
} flatten_job;

static void flatten_item(void *arg, uint32_t item, uint32_t worker)
{
    const flatten_job *job = arg;
    const uint32_t first = item * job->rows_per_item;
    (void)worker;
    for (uint32_t h = first; h < job->dst.rows && h - first < job->rows_per_item; h++) {
        const float *src = job->src + (size_t)h * job->width * job->channels;
        float *dst = job->dst.data + h * job->dst.stride;
        if (job->width == 16) { /* of 128 mel bins: one panel, which the kernel transposes */
            job->kernels->pack_panel(dst, src, job->channels, 16, job->channels);
            continue;
        }
        for (uint32_t c = 0; c < job->channels; c++)
            for (uint32_t w = 0; w < job->width; w++)
                dst[(size_t)c * job->width + w] = src[(size_t)w * job->channels + c];
    }
}

conure_status conure_cpu_flatten(void *self, conure_rows dst, const float *src, uint32_t width,
                                 uint32_t channels, conure_error *err)
{
    conure_cpu *cpu = self;
    flatten_job job = {
        .kernels = cpu->kernels, .dst = dst, .src = src, .width = width, .channels = channels};
    if (dst.cols != (uint64_t)width * channels)
        return conure_fail(err, CONURE_INTERNAL, "flatten: %u channels of width %u into %u columns",
                           channels, width, dst.cols);
    job.rows_per_item = conure_split_rows(dst.cols);
    conure_pool_run(cpu->pool, conure_split_items(dst.rows, job.rows_per_item), flatten_item, &job);
    return CONURE_OK;
}
