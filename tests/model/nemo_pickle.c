/* nemo_pickle.c - the restricted pickle reader: what torch.save() writes is read, anything else
 * is refused, and nothing is executed. */
#include "model/pickle.h"
#include "nemo_build.h"
#include "test.h"

typedef struct seen {
    uint32_t n;
    conure_pickle_tensor last;
    char names[256];
} seen;

static conure_status collect(void *user, const conure_pickle_tensor *tensor, conure_error *err)
{
    seen *s = user;
    (void)err;
    s->n++;
    s->last = *tensor;
    snprintf(s->names + strlen(s->names), sizeof s->names - strlen(s->names), "%.*s ",
             (int)tensor->name_bytes, tensor->name);
    return CONURE_OK;
}

static conure_status read_of(const conure_buffer *in, seen *s, conure_error *err)
{
    *s = (seen){0};
    err->text[0] = '\0';
    uint8_t *exact =
        malloc(in->bytes ? in->bytes : 1); /* exact size: a read past the end is caught */
    if (in->bytes)
        memcpy(exact, in->data, in->bytes);
    const conure_status status = conure_pickle_read(exact, in->bytes, collect, s, err);
    free(exact);
    return status;
}

/* Bytes that would leave a result if something in them were called. */
static void refused_bytes(const void *data, size_t bytes, conure_status want, const char *part)
{
    conure_buffer in = {0};
    conure_error err;
    seen s;
    conure_buffer_add(&in, data, bytes);
    test_int(read_of(&in, &s, &err), want);
    test_contains(err.text, part);
    test_int(s.n, 0);
    conure_buffer_free(&in);
}

#define REFUSED(literal, want, part) refused_bytes(literal, sizeof literal - 1, want, part)

static void test_good(void)
{
    static const int64_t shape[] = {2, 3}, stride[] = {1, 2};
    conure_buffer in = {0};
    conure_error err;
    seen s;
    pickle_begin(&in);
    pickle_tensor(&in, "a", "FloatStorage", "0", 6, 0, 0, NULL, NULL);
    pickle_tensor(&in, "b.weight", "BFloat16Storage", "17", 1ll << 40, 5, 2, shape, stride);
    pickle_end(&in);
    test_int(read_of(&in, &s, &err), CONURE_OK);
    test_int(s.n, 2);
    test_text(s.names, "a b.weight ");
    test_int(s.last.type, CONURE_STORAGE_BFLOAT16);
    test_int(s.last.storage_elements, 1ll << 40);
    test_int(s.last.offset, 5);
    test_int(s.last.rank, 2);
    test_int(s.last.shape[1], 3);
    test_int(s.last.stride[1], 2);
    /* Cut anywhere it is refused, and nothing comes out before the end was seen. */
    long wrong = 0;
    const size_t whole = in.bytes;
    for (in.bytes = 0; in.bytes < whole; in.bytes++)
        wrong += read_of(&in, &s, &err) == CONURE_OK || s.n;
    test_int(wrong, 0);
    for (size_t bit = 0; bit < 8 * whole; bit++) {
        in.data[bit / 8] ^= (char)(1 << bit % 8);
        const conure_status status = read_of(&in, &s, &err);
        wrong += status != CONURE_OK && (s.n != 0 || err.text[0] == '\0');
        in.data[bit / 8] ^= (char)(1 << bit % 8);
    }
    test_int(wrong, 0);
    conure_buffer_free(&in);
}

/* A parameter, items one by one, a plain dict, memo slots, hooks as a list, the seventh
 * argument. */
static void test_other_spellings(void)
{
    static const int64_t one[] = {1};
    conure_buffer in = {0};
    conure_error err;
    seen s;
    conure_buffer_add(&in, "\x80\x02}q\x00", 5);
    pickle_text(&in, "x");
    pickle_global(&in, "torch._utils", "_rebuild_parameter");
    conure_buffer_text(&in, "(");
    conure_buffer item = {0};
    pickle_tensor(&item, "", "LongStorage", "0", 1, 0, 1, one, one);
    conure_buffer_add(&in, item.data + 5,
                      item.bytes - 5); /* without its name, a text of no bytes */
    conure_buffer_add(&in,
                      "\x88]q\x01r\x00\x01\x00\x00(K\x01"
                      "aetRs",
                      17);
    conure_buffer_free(&item);
    /* The parser must refuse APPEND after a mark: 'a' above takes the mark for a list. */
    test_int(read_of(&in, &s, &err), CONURE_BAD_FILE);
    test_contains(err.text, "too few values");
    in.bytes -= 8;
    conure_buffer_text(&in, "(K\x01"
                            "NetRs.");
    test_int(read_of(&in, &s, &err), CONURE_OK);
    test_int(s.n, 1);
    test_int(s.last.type, CONURE_STORAGE_LONG);
    conure_buffer_free(&in);
    conure_buffer_add(&in, "\x80\x02}.", 4); /* no tensors: an empty dict */
    test_int(read_of(&in, &s, &err), CONURE_OK);
    test_int(s.n, 0);
    conure_buffer_free(&in);
}

static void test_calls(void)
{
    REFUSED("\x80\x02"
            "cos\nsystem\nX\x04\0\0\0true\x85R.",
            CONURE_UNSUPPORTED,
            "pickle, byte 2: pickle calls 'os system': refused, nothing was executed");
    REFUSED("\x80\x02"
            "cposix\nsystem\n.",
            CONURE_UNSUPPORTED, "'posix system'");
    REFUSED("\x80\x02"
            "cbuiltins\neval\n.",
            CONURE_UNSUPPORTED, "'builtins eval'");
    REFUSED("\x80\x02"
            "ctorch\nload\n.",
            CONURE_UNSUPPORTED, "'torch load'");
    REFUSED("\x80\x02"
            "ccollections\nOrderedDict2\n.",
            CONURE_UNSUPPORTED, "'collections OrderedDict2'");
    REFUSED("\x80\x02"
            "ctorch\nFloatStorage \n.",
            CONURE_UNSUPPORTED, "'torch FloatStorage '");
    REFUSED("\x80\x02"
            "ca\x1b[2J\n\xff\n.",
            CONURE_UNSUPPORTED, "'a\\x1b[2J \\xff'");
    REFUSED("\x80\x02"
            "ctorch\nFloatStorage\n)R.",
            CONURE_UNSUPPORTED, "pickle calls torch.FloatStorage: refused");
    REFUSED("\x80\x02X\1\0\0\0a)R.", CONURE_UNSUPPORTED, "pickle calls a string: refused");
    REFUSED("\x80\x02})R.", CONURE_UNSUPPORTED, "pickle calls a dict: refused");
    REFUSED("\x80\x02"
            "ccollections\nOrderedDict\nK\1\x85R.",
            CONURE_UNSUPPORTED, "OrderedDict with arguments");
    REFUSED("\x80\x02"
            "ccollections\nOrderedDict\n}R.",
            CONURE_BAD_FILE, "a call with a dict as arguments");
    REFUSED("\x80\x02"
            "ctorch._utils\n_rebuild_tensor_v2\n)R.",
            CONURE_BAD_FILE, "_rebuild_tensor_v2 with arguments");
    REFUSED("\x80\x02"
            "ctorch._utils\n_rebuild_parameter\n)R.",
            CONURE_BAD_FILE, "_rebuild_parameter with arguments");
    REFUSED("\x80\x02}}b.", CONURE_UNSUPPORTED, "sets attributes of a dict");
    REFUSED("\x80\x02"
            "ctorch\nFloatStorage\n}b.",
            CONURE_UNSUPPORTED, "sets attributes of a function or class");
    REFUSED("\x80\x02(ios\nsystem\n.", CONURE_UNSUPPORTED, "operation 0x69 (INST): refused");
    REFUSED("\x80\x02X\2\0\0\0osX\6\0\0\0system\x93.", CONURE_UNSUPPORTED,
            "operation 0x93 (STACK_GLOBAL): refused");
    REFUSED("\x80\x02"
            "ccollections\nOrderedDict\n)\x81.",
            CONURE_UNSUPPORTED, "byte 28: pickle operation 0x81 (NEWOBJ)");
    REFUSED("\x80\x02\x82\1.", CONURE_UNSUPPORTED, "(EXT1)");
    REFUSED("\x80\x04\x95\0\0\0\0\0\0\0\0.", CONURE_UNSUPPORTED,
            "pickle protocol 4, supported is 2");
    REFUSED("\x80\x02Pstorage\n.", CONURE_UNSUPPORTED, "(PERSID)");
}

static void test_damaged(void)
{
    REFUSED("", CONURE_BAD_FILE, "cut short");
    REFUSED(".", CONURE_BAD_FILE, "too few values");
    REFUSED("\x80\x02N.", CONURE_BAD_FILE, "holds None, expected a dict of tensors");
    REFUSED("\x80\x02].", CONURE_BAD_FILE, "holds a list");
    REFUSED("\x80\x02}K\1K\2s.", CONURE_BAD_FILE, "a key of the dict is an int");
    REFUSED("\x80\x02}X\5\0\0\0epochK\2s.", CONURE_BAD_FILE,
            "'epoch' is an int, expected a tensor");
    REFUSED("\x80\x02}(K\1u.", CONURE_BAD_FILE, "a key without a value");
    REFUSED("\x80\x02](K\1K\2u.", CONURE_BAD_FILE, "adds items to a list");
    REFUSED("\x80\x02}(K\1e.", CONURE_BAD_FILE, "adds items to a dict");
    REFUSED("\x80\x02(K\1e.", CONURE_BAD_FILE, "too few values");
    REFUSED("\x80\x02K\1t.", CONURE_BAD_FILE, "no mark on the stack");
    REFUSED("\x80\x02K\1\x86.", CONURE_BAD_FILE, "too few values");
    REFUSED("\x80\x02K\1(\x85.", CONURE_BAD_FILE, "too few values");
    REFUSED("\x80\x02h\0.", CONURE_BAD_FILE, "memo slot 0 was never filled");
    REFUSED("\x80\x02Nq\2h\1.", CONURE_BAD_FILE, "memo slot 1 was never filled");
    REFUSED("\x80\x02q\0.", CONURE_BAD_FILE, "too few values");
    REFUSED("\x80\x02Nr\xff\xff\xff\xff.", CONURE_LIMIT, "memo slot 4294967295, limit 1048576");
    REFUSED("\x80\x02Nr\0\0\x10\0.", CONURE_LIMIT, "memo slot 1048576");
    REFUSED("\x80\x02X\xff\xff\xff\xff"
            "a.",
            CONURE_LIMIT, "a string of 4294967295 bytes");
    REFUSED("\x80\x02X\x10\0\0\0"
            "a.",
            CONURE_BAD_FILE, "cut short");
    REFUSED("\x80\x02\x8a\x09\1\1\1\1\1\1\1\1\1.", CONURE_BAD_FILE, "a number of 9 bytes");
    REFUSED("\x80\x02"
            "cabc",
            CONURE_BAD_FILE, "a name without an end");
    REFUSED("\x80\x02K\1Q.", CONURE_BAD_FILE, "a persistent id that is not");
    REFUSED("\x80\x02(K\1K\1K\1K\1K\1tQ.", CONURE_BAD_FILE, "a persistent id that is not");
    REFUSED("\x80\x02(X\7\0\0\0storageccollections\nOrderedDict\nX\1\0\0\0000X\3\0\0\0cpuK\1tQ.",
            CONURE_BAD_FILE, "a persistent id that is not");
}

static void tensor_refused(uint32_t rank, const int64_t *shape, const int64_t *stride,
                           int64_t elements, int64_t offset, conure_status want, const char *part)
{
    conure_buffer in = {0};
    conure_error err;
    seen s;
    pickle_begin(&in);
    pickle_tensor(&in, "t", "FloatStorage", "0", elements, offset, rank, shape, stride);
    pickle_end(&in);
    test_int(read_of(&in, &s, &err), want);
    test_contains(err.text, part);
    conure_buffer_free(&in);
}

static void test_tensors(void)
{
    static const int64_t ones[9] = {1, 1, 1, 1, 1, 1, 1, 1, 1}, negative[1] = {-2};
    tensor_refused(1, negative, ones, 6, 0, CONURE_BAD_FILE, "a tensor's size is negative");
    tensor_refused(1, ones, negative, 6, 0, CONURE_BAD_FILE, "a tensor's stride is negative");
    tensor_refused(1, ones, ones, 6, -1, CONURE_BAD_FILE, "_rebuild_tensor_v2 with arguments");
    tensor_refused(1, ones, ones, -6, 0, CONURE_BAD_FILE, "a persistent id that is not");
    tensor_refused(9, ones, ones, 6, 0, CONURE_UNSUPPORTED, "9 dimensions, at most 8");
}

/* Repeat a piece of a program n times between a start and an end. */
static conure_buffer repeated(const char *start, size_t n, const char *piece, size_t piece_bytes,
                              const char *end)
{
    conure_buffer in = {0};
    conure_buffer_add(&in, "\x80\x02", 2);
    conure_buffer_text(&in, start);
    for (size_t i = 0; i < n; i++)
        conure_buffer_add(&in, piece, piece_bytes);
    conure_buffer_text(&in, end);
    return in;
}

static void test_limits(void)
{
    static const struct {
        const char *start, *piece;
        size_t piece_bytes, n;
        const char *end;
        conure_status want;
        const char *part;
    } cases[] = {
        {"", "(", 1, CONURE_PICKLE_STACK_MAX + 1, ".", CONURE_LIMIT,
         "more than 65536 values on the stack"},
        {"N", "\x85", 1, 1000000, ".", CONURE_BAD_FILE,
         "holds a tuple"}, /* deep, but flat for us */
        {"N", "\x85", 1, CONURE_PICKLE_ITEMS_MAX + 1, ".", CONURE_LIMIT,
         "more than 1048576 items in tuples"},
        {"]",
         "N"
         "a",
         2, CONURE_PICKLE_ITEMS_MAX, ".", CONURE_LIMIT, "more than 1048576 items"},
        {"]q\1",
         "h\1"
         "a",
         3, 1000, ".", CONURE_BAD_FILE, "holds a list"}, /* a list of itself */
        {"N", "]0", 2, 1, ".", CONURE_UNSUPPORTED, "operation 0x30"},
        {"](", "(t]e](", 6, 70000, ".", CONURE_LIMIT, "more than 65536 values on the stack"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        conure_error err;
        seen s;
        conure_buffer in = repeated(cases[i].start, cases[i].n, cases[i].piece,
                                    cases[i].piece_bytes, cases[i].end);
        test_int(read_of(&in, &s, &err), cases[i].want);
        test_contains(err.text, cases[i].part);
        conure_buffer_free(&in);
    }
    char *big = calloc(1, CONURE_PICKLE_BYTES_MAX + 1);
    conure_error err;
    test_int(
        conure_pickle_read((const uint8_t *)big, CONURE_PICKLE_BYTES_MAX + 1, collect, NULL, &err),
        CONURE_LIMIT);
    free(big);
}

int main(void)
{
    test_begin("nemo_pickle");
    test_good();
    test_other_spellings();
    test_calls();
    test_damaged();
    test_tensors();
    test_limits();
    return test_end();
}
