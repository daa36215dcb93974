/* cell.c - the LSTM cell of the prediction network: gates in, new c and h out (spec 6.1, torch order
 * i f g o). */
#include "backend/cpu/cpu.h"
#include "backend/cpu/kernels.h"
#include "backend/cpu/split.h"

typedef struct cell_job {
    const conure_kernels *kernels;
    conure_rows h, c, gates;
    uint32_t rows_per_item;
} cell_job;

static void cell_item(void *arg, uint32_t item, uint32_t worker)
{
    const cell_job *job = arg;
    const uint32_t first = item * job->rows_per_item;
    (void)worker;
    for (uint32_t r = first; r < job->h.rows && r - first < job->rows_per_item; r++)
        job->kernels->lstm_row(job->h.data + r * job->h.stride, job->c.data + r * job->c.stride,
                               job->gates.data + r * job->gates.stride, job->h.cols);
}

conure_status conure_cpu_lstm_cell(void *self, conure_rows h, conure_rows c, conure_rows gates,
                                   conure_error *err)
{
    conure_cpu *cpu = self;
    cell_job job = {.kernels = cpu->kernels, .h = h, .c = c, .gates = gates};
    if (h.rows != c.rows || h.cols != c.cols || gates.rows != h.rows ||
        gates.cols != 4 * (size_t)h.cols)
        return conure_fail(err, CONURE_INTERNAL,
                           "lstm_cell: gates [%u, %u], c [%u, %u], h [%u, %u]", gates.rows,
                           gates.cols, c.rows, c.cols, h.rows, h.cols);
    /* One element costs about as much as ten of a simple row operation. */
    job.rows_per_item = conure_split_rows(10 * (size_t)h.cols);
    conure_pool_run(cpu->pool, conure_split_items(h.rows, job.rows_per_item), cell_item, &job);
    return CONURE_OK;
}
