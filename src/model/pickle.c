/* pickle.c - a stack machine with a memo that reads torch.save()'s pickles and executes nothing.
 * Operations: those of pickle protocol 2 that a dictionary of tensors uses. */
#include "model/pickle.h"

#include "base/memory.h"
#include "model/quote.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef enum value_kind {
    NONE,
    BOOL,
    INT,
    STRING,
    SYMBOL,
    TUPLE,
    LIST,
    DICT,    /* {} */
    ORDERED, /* collections.OrderedDict */
    STORAGE,
    TENSOR,
    MARK,
    UNSET, /* a memo slot that nothing was put into */
} value_kind;

static const char *const kind_names[] = {
    "None",     "a bool", "an int", "a string",       "a function or class",
    "a tuple",  "a list", "a dict", "an OrderedDict", "a storage",
    "a tensor", "a mark", "nothing"};

/* STRING: number = where it starts in the pickle, index = bytes.  TUPLE: number = first of index
 * items.  SYMBOL: index into symbols.  LIST, DICT, ORDERED, STORAGE, TENSOR: index into its
 * array. */
typedef struct value {
    value_kind kind;
    uint32_t index;
    int64_t number;
} value;

/* A list's members or a dictionary's entries, chained in order; 0 ends (entry 0 is never used). */
typedef struct entry {
    value key, item;
    uint32_t next;
} entry;

typedef struct container {
    uint32_t first, last;
} container;

typedef struct storage {
    conure_storage_type type;
    value key;
    uint64_t elements;
} storage;

enum { ORDERED_DICT, REBUILD_TENSOR, REBUILD_PARAMETER, FIRST_STORAGE };

/* The only names that a pickle may mention; storages in the order of conure_storage_type. */
static const struct symbol {
    const char *module, *name;
} symbols[] = {
    {"collections", "OrderedDict"},
    {"torch._utils", "_rebuild_tensor_v2"},
    {"torch._utils", "_rebuild_parameter"},
    {"torch", "FloatStorage"},
    {"torch", "HalfStorage"},
    {"torch", "BFloat16Storage"},
    {"torch", "DoubleStorage"},
    {"torch", "LongStorage"},
    {"torch", "IntStorage"},
    {"torch", "ShortStorage"},
    {"torch", "CharStorage"},
    {"torch", "ByteStorage"},
    {"torch", "BoolStorage"},
};

#define N_SYMBOLS (sizeof symbols / sizeof *symbols)

typedef struct array {
    void *data;
    uint32_t n, cap;
} array;

typedef struct machine {
    const uint8_t *data;
    size_t bytes, at;
    size_t op_at; /* where the running operation started, for error texts */
    conure_error *err;
    array stack, memo, items; /* value */
    array entries;            /* entry */
    array containers;         /* container */
    array storages;           /* storage */
    array tensors;            /* conure_pickle_tensor, without names */
} machine;

__attribute__((format(printf, 3, 4))) static conure_status fail(machine *m, conure_status status,
                                                                const char *format, ...)
{
    char text[384];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return conure_fail(m->err, status, "pickle, byte %zu: %s", m->op_at, text);
}

/* ---- storage of the machine ------------------------------------------------------------------ */

/* Room for more elements behind the last, zeroed; they count only when the caller raises n. */
static conure_status reserve(machine *m, array *a, uint32_t more, uint32_t n_max, size_t elem_bytes,
                             const char *what)
{
    if (more > n_max || a->n > n_max - more)
        return fail(m, CONURE_LIMIT, "more than %u %s", n_max, what);
    if (a->n + more <= a->cap)
        return CONURE_OK;
    uint32_t cap = a->cap ? a->cap : 64;
    while (cap < a->n + more)
        cap *= 2;
    void *grown = realloc(a->data, cap * elem_bytes);
    if (!grown)
        return conure_fail_memory(m->err, what, cap * elem_bytes);
    memset((char *)grown + a->cap * elem_bytes, 0, (cap - a->cap) * elem_bytes);
    a->data = grown;
    a->cap = cap;
    return CONURE_OK;
}

static conure_status push(machine *m, value v)
{
    const conure_status status =
        reserve(m, &m->stack, 1, CONURE_PICKLE_STACK_MAX, sizeof v, "values on the stack");
    if (status == CONURE_OK)
        ((value *)m->stack.data)[m->stack.n++] = v;
    return status;
}

/* The top of the stack, which must not be a mark; depth 0 is the top itself. */
static conure_status peek(machine *m, uint32_t depth, value *out)
{
    const value *stack = m->stack.data;
    for (uint32_t i = 0; i <= depth; i++)
        if (i >= m->stack.n || stack[m->stack.n - 1 - i].kind == MARK)
            return fail(m, CONURE_BAD_FILE, "damaged: the stack has too few values");
    *out = stack[m->stack.n - 1 - depth];
    return CONURE_OK;
}

static conure_status pop(machine *m, value *out)
{
    const conure_status status = peek(m, 0, out);
    m->stack.n -= status == CONURE_OK;
    return status;
}

/* Where the values above the topmost mark start.  The search ends at the mark, and what it
 * passed is taken off by the caller, so that all searches together cost no more than all pushes. */
static conure_status find_mark(machine *m, uint32_t *first)
{
    const value *stack = m->stack.data;
    for (uint32_t i = m->stack.n; i-- > 0;) {
        if (stack[i].kind == MARK) {
            *first = i + 1;
            return CONURE_OK;
        }
    }
    return fail(m, CONURE_BAD_FILE, "damaged: no mark on the stack");
}

/* ---- input ----------------------------------------------------------------------------------- */

static conure_status take(machine *m, size_t n, const uint8_t **out)
{
    if (n > m->bytes - m->at)
        return fail(m, CONURE_BAD_FILE, "the pickle is cut short");
    *out = m->data + m->at;
    m->at += n;
    return CONURE_OK;
}

/* n bytes, little-endian. */
static conure_status take_number(machine *m, size_t n, uint64_t *out)
{
    const uint8_t *p = NULL;
    const conure_status status = take(m, n, &p);
    *out = 0;
    for (size_t i = 0; status == CONURE_OK && i < n; i++)
        *out |= (uint64_t)p[i] << (8 * i);
    return status;
}

static conure_status take_line(machine *m, const char **line, size_t *bytes)
{
    const uint8_t *start = m->data + m->at;
    const uint8_t *end = memchr(start, '\n', m->bytes - m->at);
    if (!end || (size_t)(end - start) > CONURE_PICKLE_STRING_BYTES_MAX)
        return fail(m, CONURE_BAD_FILE, "damaged: a name without an end");
    *line = (const char *)start;
    *bytes = (size_t)(end - start);
    m->at += *bytes + 1;
    return CONURE_OK;
}

static bool text_is(const char *text, size_t bytes, const char *want)
{
    return strlen(want) == bytes && memcmp(text, want, bytes) == 0;
}

/* ---- operations ------------------------------------------------------------------------------ */

static conure_status op_global(machine *m)
{
    const char *module = "", *name = "";
    size_t module_bytes = 0, name_bytes = 0;
    char shown_module[96], shown_name[96];
    conure_status status = take_line(m, &module, &module_bytes);
    if (status == CONURE_OK)
        status = take_line(m, &name, &name_bytes);
    if (status != CONURE_OK)
        return status;
    for (uint32_t i = 0; i < N_SYMBOLS; i++)
        if (text_is(module, module_bytes, symbols[i].module) &&
            text_is(name, name_bytes, symbols[i].name))
            return push(m, (value){SYMBOL, i, 0});
    return fail(m, CONURE_UNSUPPORTED, "pickle calls '%s %s': refused, nothing was executed",
                conure_quote(shown_module, sizeof shown_module, module, module_bytes),
                conure_quote(shown_name, sizeof shown_name, name, name_bytes));
}

static conure_status op_string(machine *m, size_t length_bytes)
{
    uint64_t length;
    const uint8_t *p = NULL;
    conure_status status = take_number(m, length_bytes, &length);
    if (status == CONURE_OK && length > CONURE_PICKLE_STRING_BYTES_MAX)
        status = fail(m, CONURE_LIMIT, "a string of %llu bytes, limit %d",
                      (unsigned long long)length, CONURE_PICKLE_STRING_BYTES_MAX);
    if (status == CONURE_OK)
        status = take(m, (size_t)length, &p);
    return status == CONURE_OK ? push(m, (value){STRING, (uint32_t)length, (int64_t)(p - m->data)})
                               : status;
}

static conure_status op_int(machine *m, size_t n, bool is_signed)
{
    uint64_t number;
    const conure_status status = take_number(m, n, &number);
    if (status != CONURE_OK)
        return status;
    if (is_signed && n > 0 && n < 8 && number >> (8 * n - 1))
        number |= UINT64_MAX << (8 * n);
    return push(m, (value){INT, 0, (int64_t)number});
}

static conure_status op_long(machine *m)
{
    uint64_t n;
    const conure_status status = take_number(m, 1, &n);
    if (status != CONURE_OK)
        return status;
    if (n > 8)
        return fail(m, CONURE_BAD_FILE, "a number of %llu bytes, at most 8", (unsigned long long)n);
    return op_int(m, (size_t)n, true);
}

/* The topmost values from first on become a tuple; so does drop, the mark below them. */
static conure_status make_tuple(machine *m, uint32_t first, uint32_t drop)
{
    const uint32_t n = m->stack.n - first;
    const value tuple = {TUPLE, n, m->items.n};
    const conure_status status =
        reserve(m, &m->items, n, CONURE_PICKLE_ITEMS_MAX, sizeof(value), "items in tuples");
    if (status != CONURE_OK)
        return status;
    if (n > 0)
        memcpy((value *)m->items.data + m->items.n, (value *)m->stack.data + first,
               n * sizeof(value));
    m->items.n += n;
    m->stack.n = first - drop;
    return push(m, tuple);
}

static conure_status op_tuple(machine *m)
{
    uint32_t first = 0;
    const conure_status status = find_mark(m, &first);
    return status == CONURE_OK ? make_tuple(m, first, 1) : status;
}

static conure_status op_tuple_of(machine *m, uint32_t n)
{
    value lowest;
    const conure_status status = peek(m, n - 1, &lowest);
    return status == CONURE_OK ? make_tuple(m, m->stack.n - n, 0) : status;
}

static conure_status op_container(machine *m, value_kind made)
{
    const conure_status status = reserve(m, &m->containers, 1, CONURE_PICKLE_ITEMS_MAX,
                                         sizeof(container), "lists and dictionaries");
    return status == CONURE_OK ? push(m, (value){made, m->containers.n++, 0}) : status;
}

/* Move the n values from first on, in pairs for a dictionary, into the container below them;
 * drop is the mark between. */
static conure_status add_items(machine *m, uint32_t first, uint32_t drop, bool pairs)
{
    const uint32_t per = pairs ? 2 : 1, n = m->stack.n - first;
    const value *stack = m->stack.data;
    if (n % per)
        return fail(m, CONURE_BAD_FILE, "damaged: a key without a value");
    if (first < 1 + drop)
        return fail(m, CONURE_BAD_FILE, "damaged: the stack has too few values");
    const value target = stack[first - 1 - drop];
    const bool fits = pairs ? target.kind == DICT || target.kind == ORDERED : target.kind == LIST;
    if (!fits)
        return fail(m, CONURE_BAD_FILE, "damaged: adds items to %s", kind_names[target.kind]);
    const conure_status status =
        reserve(m, &m->entries, n / per + 1, CONURE_PICKLE_ITEMS_MAX, sizeof(entry), "items");
    if (status != CONURE_OK)
        return status;
    entry *entries = m->entries.data;
    container *into = (container *)m->containers.data + target.index;
    m->entries.n += m->entries.n == 0; /* 0 ends a chain */
    for (uint32_t i = first; i < m->stack.n; i += per) {
        const uint32_t at = m->entries.n++;
        entries[at] = (entry){stack[i], stack[i + per - 1], 0};
        if (into->last)
            entries[into->last].next = at;
        else
            into->first = at;
        into->last = at;
    }
    m->stack.n = first - drop;
    return CONURE_OK;
}

static conure_status op_add_marked(machine *m, bool pairs)
{
    uint32_t first = 0;
    const conure_status status = find_mark(m, &first);
    return status == CONURE_OK ? add_items(m, first, 1, pairs) : status;
}

static conure_status op_add_one(machine *m, bool pairs)
{
    value lowest;
    const uint32_t n = pairs ? 2 : 1;
    const conure_status status = peek(m, n, &lowest);
    return status == CONURE_OK ? add_items(m, m->stack.n - n, 0, pairs) : status;
}

static conure_status op_put(machine *m, size_t slot_bytes)
{
    uint64_t slot;
    value v;
    conure_status status = take_number(m, slot_bytes, &slot);
    if (status == CONURE_OK)
        status = peek(m, 0, &v);
    if (status == CONURE_OK && slot >= CONURE_PICKLE_MEMO_MAX)
        status = fail(m, CONURE_LIMIT, "memo slot %llu, limit %u", (unsigned long long)slot,
                      CONURE_PICKLE_MEMO_MAX);
    if (status == CONURE_OK && slot >= m->memo.n) {
        const uint32_t more = (uint32_t)slot + 1 - m->memo.n;
        status = reserve(m, &m->memo, more, CONURE_PICKLE_MEMO_MAX, sizeof v, "memo slots");
        for (uint32_t i = 0; status == CONURE_OK && i < more; i++)
            ((value *)m->memo.data)[m->memo.n++].kind = UNSET;
    }
    if (status == CONURE_OK)
        ((value *)m->memo.data)[slot] = v;
    return status;
}

static conure_status op_get(machine *m, size_t slot_bytes)
{
    uint64_t slot;
    const conure_status status = take_number(m, slot_bytes, &slot);
    if (status != CONURE_OK)
        return status;
    const value *memo = m->memo.data;
    if (slot >= m->memo.n || memo[slot].kind == UNSET)
        return fail(m, CONURE_BAD_FILE, "damaged: memo slot %llu was never filled",
                    (unsigned long long)slot);
    return push(m, memo[slot]);
}

static const value *tuple_items(const machine *m, value tuple)
{
    return tuple.index ? (const value *)m->items.data + tuple.number : NULL;
}

/* ('storage', torch.FloatStorage, key, location, elements); the location, "cpu" or "cuda:0", is
 * of the machine that saved. */
static conure_status op_persistent(machine *m)
{
    value id = {NONE, 0, 0};
    conure_status status = pop(m, &id);
    if (status != CONURE_OK)
        return status;
    const value *p = id.kind == TUPLE && id.index == 5 ? tuple_items(m, id) : NULL;
    if (!p || p[0].kind != STRING ||
        !text_is((const char *)m->data + p[0].number, p[0].index, "storage") ||
        p[1].kind != SYMBOL || p[1].index < FIRST_STORAGE || p[2].kind != STRING ||
        p[3].kind != STRING || p[4].kind != INT || p[4].number < 0)
        return fail(m, CONURE_BAD_FILE,
                    "a persistent id that is not ('storage', type, key, location, elements)");
    const storage made = {(conure_storage_type)(p[1].index - FIRST_STORAGE), p[2],
                          (uint64_t)p[4].number};
    status = reserve(m, &m->storages, 1, CONURE_PICKLE_ITEMS_MAX, sizeof made, "storages");
    if (status != CONURE_OK)
        return status;
    ((storage *)m->storages.data)[m->storages.n] = made;
    return push(m, (value){STORAGE, m->storages.n++, 0});
}

static conure_status dimensions(machine *m, value tuple, uint64_t *out, const char *what)
{
    const value *p = tuple_items(m, tuple);
    for (uint32_t i = 0; i < tuple.index; i++) {
        if (p[i].kind != INT || p[i].number < 0)
            return fail(m, CONURE_BAD_FILE, "a tensor's %s is %s, expected a number from 0 on",
                        what, p[i].kind == INT ? "negative" : kind_names[p[i].kind]);
        out[i] = (uint64_t)p[i].number;
    }
    return CONURE_OK;
}

/* (storage, offset, shape, stride, requires_grad, hooks[, metadata]) */
static conure_status rebuild_tensor(machine *m, value args)
{
    const value *p = tuple_items(m, args);
    conure_pickle_tensor tensor = {0};
    if (args.index < 6 || args.index > 7 || p[0].kind != STORAGE || p[1].kind != INT ||
        p[1].number < 0 || p[2].kind != TUPLE || p[3].kind != TUPLE || p[2].index != p[3].index)
        return fail(
            m, CONURE_BAD_FILE,
            "_rebuild_tensor_v2 with arguments that are not (storage, offset, shape, stride, ...)");
    if (p[2].index > CONURE_PICKLE_RANK_MAX)
        return fail(m, CONURE_UNSUPPORTED, "a tensor of %u dimensions, at most %d", p[2].index,
                    CONURE_PICKLE_RANK_MAX);
    const storage *from = (const storage *)m->storages.data + p[0].index;
    tensor.key = (const char *)m->data + from->key.number;
    tensor.key_bytes = from->key.index;
    tensor.type = from->type;
    tensor.storage_elements = from->elements;
    tensor.offset = (uint64_t)p[1].number;
    tensor.rank = p[2].index;
    conure_status status = dimensions(m, p[2], tensor.shape, "size");
    if (status == CONURE_OK)
        status = dimensions(m, p[3], tensor.stride, "stride");
    if (status == CONURE_OK)
        status = reserve(m, &m->tensors, 1, CONURE_PICKLE_TENSORS_MAX, sizeof tensor, "tensors");
    if (status != CONURE_OK)
        return status;
    ((conure_pickle_tensor *)m->tensors.data)[m->tensors.n] = tensor;
    return push(m, (value){TENSOR, m->tensors.n++, 0});
}

/* (tensor, requires_grad, hooks): the tensor itself. */
static conure_status rebuild_parameter(machine *m, value args)
{
    const value *p = tuple_items(m, args);
    if (args.index != 3 || p[0].kind != TENSOR)
        return fail(
            m, CONURE_BAD_FILE,
            "_rebuild_parameter with arguments that are not (tensor, requires_grad, hooks)");
    return push(m, p[0]);
}

/* "Call": the three symbols for which we know what the call would have made. */
static conure_status op_reduce(machine *m)
{
    value args = {NONE, 0, 0}, function = args;
    conure_status status = pop(m, &args);
    if (status == CONURE_OK)
        status = pop(m, &function);
    if (status != CONURE_OK)
        return status;
    if (function.kind != SYMBOL || function.index >= FIRST_STORAGE)
        return fail(m, CONURE_UNSUPPORTED, "pickle calls %s%s: refused, nothing was executed",
                    function.kind == SYMBOL ? "torch." : "",
                    function.kind == SYMBOL ? symbols[function.index].name
                                            : kind_names[function.kind]);
    if (args.kind != TUPLE)
        return fail(m, CONURE_BAD_FILE, "damaged: a call with %s as arguments",
                    kind_names[args.kind]);
    if (function.index == REBUILD_TENSOR)
        return rebuild_tensor(m, args);
    if (function.index == REBUILD_PARAMETER)
        return rebuild_parameter(m, args);
    if (args.index != 0)
        return fail(m, CONURE_UNSUPPORTED, "OrderedDict with arguments: refused");
    return op_container(m, ORDERED);
}

/* Sets attributes (_metadata: versions of modules), which nothing here reads. */
static conure_status op_build(machine *m)
{
    value state, target = {NONE, 0, 0};
    conure_status status = pop(m, &state);
    if (status == CONURE_OK)
        status = peek(m, 0, &target);
    if (status == CONURE_OK && target.kind != ORDERED)
        status = fail(m, CONURE_UNSUPPORTED,
                      "pickle sets attributes of %s: refused, nothing was executed",
                      kind_names[target.kind]);
    return status;
}

static conure_status op_protocol(machine *m)
{
    uint64_t version;
    const conure_status status = take_number(m, 1, &version);
    if (status == CONURE_OK && version != 2)
        return fail(m, CONURE_UNSUPPORTED,
                    "pickle protocol %llu, supported is 2, which torch.save() writes",
                    (unsigned long long)version);
    return status;
}

static conure_status op_unknown(machine *m, uint8_t op)
{
    static const struct {
        uint8_t op;
        const char *name;
    } names[] = {{'i', "INST"},     {'o', "OBJ"},           {0x81, "NEWOBJ"}, {0x92, "NEWOBJ_EX"},
                 {0x82, "EXT1"},    {0x83, "EXT2"},         {0x84, "EXT4"},   {'P', "PERSID"},
                 {0x94, "MEMOIZE"}, {0x93, "STACK_GLOBAL"}, {0x95, "FRAME"},  {'G', "BINFLOAT"}};
    const char *name = "no operation of a dictionary of tensors";
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (names[i].op == op)
            name = names[i].name;
    return fail(m, CONURE_UNSUPPORTED,
                "pickle operation 0x%02x (%s): refused, nothing was executed", op, name);
}

/* The operations that push a value that stands in the pickle itself. */
static conure_status step_value(machine *m, uint8_t op)
{
    switch (op) {
    case '(':
        return push(m, (value){MARK, 0, 0});
    case ')':
        return push(m, (value){TUPLE, 0, 0});
    case 'N':
        return push(m, (value){NONE, 0, 0});
    case 0x88:
        return push(m, (value){BOOL, 0, 1});
    case 0x89:
        return push(m, (value){BOOL, 0, 0});
    case '}':
        return op_container(m, DICT);
    case ']':
        return op_container(m, LIST);
    case 'X':
        return op_string(m, 4);
    case 'U':
        return op_string(m, 1);
    case 'J':
        return op_int(m, 4, true);
    case 'K':
        return op_int(m, 1, false);
    case 'M':
        return op_int(m, 2, false);
    case 0x8a:
        return op_long(m);
    case 'c':
        return op_global(m);
    default:
        return op_unknown(m, op);
    }
}

static conure_status step(machine *m, uint8_t op)
{
    switch (op) {
    case 0x80:
        return op_protocol(m);
    case 't':
        return op_tuple(m);
    case 0x85:
    case 0x86:
    case 0x87:
        return op_tuple_of(m, op - 0x84u);
    case 'a':
    case 's':
        return op_add_one(m, op == 's');
    case 'e':
    case 'u':
        return op_add_marked(m, op == 'u');
    case 'q':
        return op_put(m, 1);
    case 'r':
        return op_put(m, 4);
    case 'h':
        return op_get(m, 1);
    case 'j':
        return op_get(m, 4);
    case 'Q':
        return op_persistent(m);
    case 'R':
        return op_reduce(m);
    case 'b':
        return op_build(m);
    default:
        return step_value(m, op);
    }
}

/* Run up to STOP and leave its result in root. */
static conure_status run(machine *m, value *root)
{
    conure_status status = CONURE_OK;
    while (status == CONURE_OK) {
        const uint8_t *op = NULL;
        m->op_at = m->at;
        status = take(m, 1, &op);
        if (status == CONURE_OK && *op == '.')
            return pop(m, root);
        if (status == CONURE_OK)
            status = step(m, *op);
    }
    return status;
}

static conure_status hand_out(machine *m, value root, conure_pickle_fn fn, void *user)
{
    char shown[128];
    if (root.kind != DICT && root.kind != ORDERED)
        return fail(m, CONURE_BAD_FILE, "the pickle holds %s, expected a dict of tensors",
                    kind_names[root.kind]);
    const entry *entries = m->entries.data;
    for (uint32_t i = ((const container *)m->containers.data)[root.index].first; i;
         i = entries[i].next) {
        const value key = entries[i].key, item = entries[i].item;
        const char *name = (const char *)m->data + key.number;
        if (key.kind != STRING)
            return fail(m, CONURE_BAD_FILE, "a key of the dict is %s, expected a tensor's name",
                        kind_names[key.kind]);
        if (item.kind != TENSOR)
            return fail(m, CONURE_BAD_FILE, "'%s' is %s, expected a tensor",
                        conure_quote(shown, sizeof shown, name, key.index), kind_names[item.kind]);
        conure_pickle_tensor tensor = ((const conure_pickle_tensor *)m->tensors.data)[item.index];
        tensor.name = name;
        tensor.name_bytes = key.index;
        const conure_status status = fn(user, &tensor, m->err);
        if (status != CONURE_OK)
            return status;
    }
    return CONURE_OK;
}

conure_status conure_pickle_read(const uint8_t *data, size_t bytes, conure_pickle_fn fn, void *user,
                                 conure_error *err)
{
    machine m = {.data = data, .bytes = bytes, .err = err};
    value root = {NONE, 0, 0};
    if (bytes > CONURE_PICKLE_BYTES_MAX)
        return conure_fail(err, CONURE_LIMIT, "pickle of %zu bytes, limit %u", bytes,
                           CONURE_PICKLE_BYTES_MAX);
    conure_status status = run(&m, &root);
    if (status == CONURE_OK)
        status = hand_out(&m, root, fn, user);
    free(m.stack.data);
    free(m.memo.data);
    free(m.items.data);
    free(m.entries.data);
    free(m.containers.data);
    free(m.storages.data);
    free(m.tensors.data);
    return status;
}
