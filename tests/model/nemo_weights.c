/* nemo_weights.c - torch_file: storages of every type, strided, shared, unaligned, and ones that
 * lie. */
#include "model/torch_file.h"
#include "nemo_build.h"
#include "nemo_support.h"

/* A model_weights.ckpt around one pickle; shift moves it in memory, so that nothing is aligned. */
typedef struct file {
    zip_builder zip;
    conure_buffer pickle;
    const char *byteorder;
    size_t shift;
    conure_model model;
    conure_error err;
    uint8_t *copy;
} file;

static void begin(file *f)
{
    *f = (file){0};
    pickle_begin(&f->pickle);
}

static void storage(file *f, const char *key, const void *data, size_t bytes)
{
    char name[256];
    snprintf(name, sizeof name, "model_weights/data/%s", key);
    zip_add(&f->zip, name, data, bytes);
}

static conure_status finish(file *f)
{
    pickle_end(&f->pickle);
    zip_add(&f->zip, "model_weights/data.pkl", f->pickle.data, f->pickle.bytes);
    zip_add(&f->zip, "model_weights/version", "3\n", 2);
    zip_add(&f->zip, "model_weights/.data/serialization_id", "123", 3);
    if (f->byteorder)
        zip_add(&f->zip, "model_weights/byteorder", f->byteorder, strlen(f->byteorder));
    zip_end(&f->zip);
    const size_t bytes = f->zip.out.bytes;
    f->copy = conure_alloc_aligned(bytes + f->shift);
    memcpy(f->copy + f->shift, f->zip.out.data, bytes);
    f->model.map = (conure_map){f->copy + f->shift, bytes};
    return conure_torch_file_read(&f->model, f->copy + f->shift, bytes, &f->err);
}

static void end(file *f)
{
    conure_blocks_free(&f->model.arena);
    conure_buffer_free(&f->zip.out);
    conure_buffer_free(&f->pickle);
    free(f->copy);
}

static bool in_place(const file *f, const conure_tensor *t)
{
    const uint8_t *data = t->data;
    return data >= f->model.map.data && data + t->bytes <= f->model.map.data + f->model.map.bytes;
}

/* [2][3] of each type, with values -1, 0, 1, 2, 3, 4 (bool and byte: 0 or 1), in the file's
 * order. */
static void test_types(size_t shift)
{
    static const int64_t shape[] = {2, 3}, stride[] = {3, 1};
    static const float f32[] = {-1, 0, 1, 2, 3, 4};
    static const double f64[] = {-1, 0, 1, 2, 3, 4};
    static const uint16_t f16[] = {0xbc00, 0, 0x3c00, 0x4000, 0x4200, 0x4400};
    static const uint16_t bf16[] = {0xbf80, 0, 0x3f80, 0x4000, 0x4040, 0x4080};
    static const int64_t i64[] = {-1, 0, 1, 2, 3, 4};
    static const int32_t i32[] = {-1, 0, 1, 2, 3, 4};
    static const int16_t i16[] = {-1, 0, 1, 2, 3, 4};
    static const int8_t i8[] = {-1, 0, 1, 2, 3, 4};
    static const uint8_t u8[] = {255, 0, 1, 2, 3, 4}, flags[] = {1, 0, 1, 1, 0, 1};
    static const struct {
        const char *type;
        const void *data;
        size_t bytes;
        conure_dtype dtype;
        bool direct;
    } types[] = {
        {"FloatStorage", f32, sizeof f32, CONURE_F32, true},
        {"DoubleStorage", f64, sizeof f64, CONURE_F64, true},
        {"HalfStorage", f16, sizeof f16, CONURE_F16, true},
        {"BFloat16Storage", bf16, sizeof bf16, CONURE_BF16, true},
        {"LongStorage", i64, sizeof i64, CONURE_I64, true},
        {"IntStorage", i32, sizeof i32, CONURE_I32, true},
        {"ShortStorage", i16, sizeof i16, CONURE_I32, false},
        {"CharStorage", i8, sizeof i8, CONURE_I32, false},
        {"ByteStorage", u8, sizeof u8, CONURE_I32, false},
        {"BoolStorage", flags, sizeof flags, CONURE_I32, false},
    };
    const size_t n = sizeof types / sizeof *types;
    file f;
    begin(&f);
    f.shift = shift;
    f.byteorder = "little";
    for (size_t i = 0; i < n; i++) {
        storage(&f, types[i].type, types[i].data, types[i].bytes);
        pickle_tensor(&f.pickle, types[i].type, types[i].type, types[i].type, 6, 0, 2, shape,
                      stride);
    }
    test_int(finish(&f), CONURE_OK);
    test_int(f.model.n_tensors, n);
    for (size_t i = 0; i < f.model.n_tensors; i++) {
        const conure_tensor *t = &f.model.tensors[i];
        const size_t elem = conure_dtype_bytes(t->dtype);
        test_text(t->name, types[i].type);
        test_int(t->dtype, types[i].dtype);
        test_int(t->layout, CONURE_ROWS);
        test_int(t->rank, 2);
        test_int(t->shape[0] * 10 + t->shape[1], 23);
        test_int(t->bytes, 6 * elem);
        test_int((uintptr_t)t->data % elem, 0);
        test_int(in_place(&f, t), types[i].direct && shift % elem == 0);
        if (types[i].direct)
            test_true(memcmp(t->data, types[i].data, t->bytes) == 0);
        else
            test_int(((const int32_t *)t->data)[0], i == 8 ? 255 : i == 9 ? 1 : -1);
        if (!types[i].direct)
            test_int(((const int32_t *)t->data)[5], i == 9 ? 1 : 4);
    }
    end(&f);
}

static void test_strides(void)
{
    static const int64_t shape[] = {3, 2}, transposed[] = {1, 3}, cube[] = {2, 1, 3},
                         cube_stride[] = {3, 99, 1}, row[] = {3}, one[] = {1}, every[] = {2};
    float numbers[12];
    uint16_t halves[12];
    file f;
    for (int i = 0; i < 12; i++) {
        numbers[i] = (float)i;
        halves[i] = (uint16_t)(100 + i);
    }
    begin(&f);
    storage(&f, "0", numbers, sizeof numbers);
    storage(&f, "1", halves, sizeof halves);
    pickle_tensor(&f.pickle, "transposed", "FloatStorage", "0", 12, 6, 2, shape, transposed);
    pickle_tensor(&f.pickle, "cube", "FloatStorage", "0", 12, 6, 3, cube, cube_stride);
    pickle_tensor(&f.pickle, "shared", "FloatStorage", "0", 12, 9, 1, row, one);
    pickle_tensor(&f.pickle, "half", "HalfStorage", "1", 12, 0, 2, shape, transposed);
    pickle_tensor(&f.pickle, "bf", "BFloat16Storage", "1", 12, 1, 1, row, every);
    pickle_tensor(&f.pickle, "scalar", "FloatStorage", "0", 12, 11, 0, NULL, NULL);
    pickle_tensor(&f.pickle, "encoder.layers.0.conv.batch_norm.num_batches_tracked", "LongStorage",
                  "9", 1, 0, 0, NULL, NULL);
    pickle_tensor(&f.pickle, "encoder.pos_enc.pe", "LongStorage", "9", 1, 0, 0, NULL, NULL);
    test_int(finish(&f), CONURE_OK);
    test_int(f.model.n_tensors, 6);
    if (f.model.n_tensors == 6) {
        const conure_tensor *t = f.model.tensors;
        static const float want[] = {6, 9, 7, 10, 8, 11};
        static const uint16_t want_half[] = {100, 103, 101, 104, 102, 105},
                              want_bf[] = {101, 103, 105};
        test_true(!in_place(&f, &t[0]) && t[0].bytes == sizeof want &&
                  memcmp(t[0].data, want, sizeof want) == 0);
        test_true(in_place(&f, &t[1]) && t[1].rank == 3 && memcmp(t[1].data, numbers + 6, 24) == 0);
        test_true(in_place(&f, &t[2]) && memcmp(t[2].data, numbers + 9, 12) == 0);
        test_true(memcmp(t[3].data, want_half, sizeof want_half) == 0);
        test_true(t[4].bytes == 6 && memcmp(t[4].data, want_bf, sizeof want_bf) == 0);
        test_true(t[5].rank == 0 && t[5].bytes == 4 && *(const float *)t[5].data == 11);
    }
    end(&f);
}

static void refused(const char *type, const char *key, int64_t elements, int64_t offset,
                    uint32_t rank, const int64_t *shape, const int64_t *stride, conure_status want,
                    const char *part)
{
    const float numbers[12] = {0};
    file f;
    begin(&f);
    storage(&f, "0", numbers, sizeof numbers);
    pickle_tensor(&f.pickle, "w.x", type, key, elements, offset, rank, shape, stride);
    test_int(finish(&f), want);
    test_contains(f.err.text, part);
    end(&f);
}

static void test_lies(void)
{
    static const int64_t s12[] = {12}, s13[] = {13}, one[] = {1}, zero[] = {0},
                         huge[] = {INT64_MAX, INT64_MAX}, two[] = {4, 4}, row[] = {4, 1},
                         five[] = {1, 1, 1, 1, 1};
    refused("FloatStorage", "1", 12, 0, 1, s12, one, CONURE_BAD_FILE,
            "w.x: its storage data/1 is missing");
    refused("FloatStorage", "../0", 12, 0, 1, s12, one, CONURE_BAD_FILE, "data/../0 is missing");
    refused("FloatStorage", "0", 11, 0, 1, one, one, CONURE_BAD_FILE,
            "w.x: its storage data/0 has 48 bytes, expected 11 elements of 4 bytes (FloatStorage)");
    refused("DoubleStorage", "0", 12, 0, 1, s12, one, CONURE_BAD_FILE,
            "expected 12 elements of 8 bytes");
    refused("FloatStorage", "0", 0x4000000000000000 + 12, 0, 1, s12, one, CONURE_BAD_FILE,
            "has 48 bytes");
    refused("FloatStorage", "0", 12, 0, 1, s13, one, CONURE_BAD_FILE,
            "w.x: offset 0, shape and strides reach past");
    refused("FloatStorage", "0", 12, 1, 1, s12, one, CONURE_BAD_FILE,
            "w.x: offset 1, shape and strides reach past");
    refused("FloatStorage", "0", 12, 12, 0, NULL, NULL, CONURE_BAD_FILE,
            "reach past its storage of 12 elements");
    refused("FloatStorage", "0", 12, INT64_MAX, 1, one, one, CONURE_BAD_FILE, "reach past");
    refused("FloatStorage", "0", 12, 0, 2, huge, huge, CONURE_BAD_FILE, "reach past");
    refused("FloatStorage", "0", 12, 0, 2, huge, (const int64_t[]){0, 0}, CONURE_BAD_FILE,
            "reach past");
    refused("FloatStorage", "0", 12, 0, 2, two, row, CONURE_BAD_FILE, "reach past");
    refused("FloatStorage", "0", 12, 0, 1, s13, zero, CONURE_UNSUPPORTED,
            "13 elements expanded from a storage of 12");
    refused("FloatStorage", "0", 12, 0, 1, zero, one, CONURE_BAD_FILE, "w.x: dimension 0 is 0");
    refused("FloatStorage", "0", 12, 0, 5, five, five, CONURE_UNSUPPORTED,
            "w.x: 5 dimensions, at most 4");
}

static void test_files(void)
{
    static const int64_t one[] = {1}, s12[] = {12}, flat[] = {12, 1}, step[] = {0, 1};
    const float numbers[12] = {0};
    file f;
    begin(&f);
    storage(&f, "0", numbers, sizeof numbers);
    pickle_tensor(&f.pickle, "a", "FloatStorage", "0", 12, 0, 1, s12, one);
    pickle_tensor(&f.pickle, "a", "FloatStorage", "0", 12, 0, 1, s12, one);
    test_int(finish(&f), CONURE_BAD_FILE);
    test_contains(f.err.text, "tensor 'a' is there twice");
    end(&f);

    begin(&f);
    f.byteorder = "big";
    test_int(finish(&f), CONURE_UNSUPPORTED);
    test_contains(f.err.text, "byteorder is 'big'; supported: little");
    end(&f);

    begin(&f);
    zip_add(&f.zip, "other/data.pkl", "}.", 2);
    test_int(finish(&f), CONURE_BAD_FILE);
    test_contains(f.err.text, "two records named data.pkl");
    end(&f);

    /* Many strided views of one storage would be copied again and again. */
    begin(&f);
    const size_t big_bytes = 1 << 16;
    char *big = calloc(1, big_bytes);
    storage(&f, "0", big, big_bytes);
    for (int i = 0; i < 20; i++) {
        char name[16];
        const int64_t half[] = {(int64_t)big_bytes / 4, 2}, swapped[] = {1, (int64_t)big_bytes / 4};
        snprintf(name, sizeof name, "t%d", i);
        pickle_tensor(&f.pickle, name, "HalfStorage", "0", (int64_t)big_bytes / 2, 0, 2, half,
                      swapped);
    }
    test_int(finish(&f), CONURE_LIMIT);
    test_contains(f.err.text, "bytes of strided tensors");
    free(big);
    end(&f);

    /* A flipped bit in a storage that is used. */
    begin(&f);
    storage(&f, "0", numbers, sizeof numbers);
    f.zip.out.data[64 + 5] ^= 1; /* the first record's data start at 64 */
    pickle_tensor(&f.pickle, "a", "FloatStorage", "0", 12, 0, 2, flat + 0, step);
    pickle_tensor(&f.pickle, "b", "FloatStorage", "0", 12, 0, 1, s12, one);
    test_int(finish(&f), CONURE_BAD_FILE);
    test_contains(f.err.text, "record 'model_weights/data/0': CRC-32");
    end(&f);

    static const uint8_t legacy[] = {0x80, 2,    0x8a, 10,   0x6c, 0xfc, 0x9c, 0x46,
                                     0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, '.'};
    conure_model model = {.map = {legacy, sizeof legacy}};
    test_int(conure_torch_file_read(&model, legacy, sizeof legacy, &f.err), CONURE_UNSUPPORTED);
    test_contains(f.err.text, "torch before 1.6");
}

int main(void)
{
    test_begin("nemo_weights");
    for (size_t shift = 0; shift < 8; shift++)
        test_types(shift);
    test_strides();
    test_lies();
    test_files();
    return test_end();
}
