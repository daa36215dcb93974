/* find.c - which file of a folder is ONNX Runtime's library, and whether that file is whole (library.h). */
#include "engine/ort/library.h"

#include "base/files.h"

#include <ctype.h>
#include <dirent.h>
#include <elf.h>
#include <stdlib.h>
#include <string.h>

/* ---- looking ---------------------------------------------------------------------------------- */

#define LIBRARY "libonnxruntime.so"
#define MODULE  "onnxruntime_pybind11_state"
#define WHEEL   "onnxruntime/capi"

enum { PARTS = 3 };

/* "1.32.0" as numbers; a part that is not there is -1, so that of two names the one that says more comes later. */
typedef struct release {
    long parts[PARTS];
} release;

/* What is behind a name: "" or ".N[.N[.N]]" and nothing else, as in ".1.32.0.sha256". */
static bool parse_release(release *out, const char *text)
{
    *out = (release){{-1, -1, -1}};
    for (int i = 0; i < PARTS && *text; i++) {
        char *end = NULL;
        if (text[0] != '.' || !isdigit((unsigned char)text[1]))
            return false;
        out->parts[i] = strtol(text + 1, &end, 10);
        text = end;
    }
    return *text == 0;
}

static bool is_later(const release *a, const release *b)
{
    int i = 0;
    while (i < PARTS - 1 && a->parts[i] == b->parts[i])
        i++;
    return a->parts[i] > b->parts[i];
}

/* FOLDER/NAME of a file that is looked for; of several, the latest by number. */
typedef bool (*look_fn)(char out[PATH_MAX], const char *folder);

static bool look_for_library(char out[PATH_MAX], const char *folder)
{
    release best, r;
    bool found = false;
    DIR *d = opendir(folder);
    for (const struct dirent *e; d && (e = readdir(d));)
        if (strncmp(e->d_name, LIBRARY, strlen(LIBRARY)) == 0 && parse_release(&r, e->d_name + strlen(LIBRARY)) &&
            (!found || is_later(&r, &best)) && conure_path_join(out, PATH_MAX, folder, e->d_name)) {
            best = r;
            found = true;
        }
    if (d)
        closedir(d);
    return found;
}

static bool look_for_module(char out[PATH_MAX], const char *folder)
{
    bool found = false;
    DIR *d = opendir(folder);
    for (const struct dirent *e; d && !found && (e = readdir(d));)
        found = strncmp(e->d_name, MODULE, strlen(MODULE)) == 0 && conure_path_join(out, PATH_MAX, folder, e->d_name);
    if (d)
        closedir(d);
    return found;
}

/* The wheel of an environment: lib/python3.N, of several Pythons the latest that has what is looked for. */
static bool look_in_pythons(char out[PATH_MAX], const char *lib, look_fn look)
{
    static const char python[] = "python3";
    release best, r;
    bool found = false;
    DIR *d = opendir(lib);
    for (const struct dirent *e; d && (e = readdir(d));) {
        char folder[PATH_MAX], wheel[PATH_MAX], path[PATH_MAX];
        if (strncmp(e->d_name, python, strlen(python)) != 0 || !parse_release(&r, e->d_name + strlen(python)) || (found && !is_later(&r, &best)))
            continue;
        if (conure_path_join(folder, sizeof folder, lib, e->d_name) &&
            conure_path_join(wheel, sizeof wheel, folder, "site-packages/" WHEEL) && look(path, wheel)) {
            memcpy(out, path, sizeof path);
            best = r;
            found = true;
        }
    }
    if (d)
        closedir(d);
    return found;
}

/* A folder of the library itself, of a wheel that was unpacked, or of an environment. */
static bool find(char out[PATH_MAX], const char *folder, look_fn look)
{
    static const char *const rests[] = {"capi", WHEEL, "lib"};
    char inside[PATH_MAX];
    if (look(out, folder))
        return true;
    for (size_t i = 0; i < sizeof rests / sizeof *rests; i++)
        if (conure_path_join(inside, sizeof inside, folder, rests[i]) && look(out, inside))
            return true;
    return conure_path_join(inside, sizeof inside, folder, "lib") && look_in_pythons(out, inside, look);
}

bool conure_ort_find_library(char out[PATH_MAX], const char *folder)
{
    return find(out, folder, look_for_library);
}

bool conure_ort_find_module(char out[PATH_MAX], const char *folder)
{
    return find(out, folder, look_for_module);
}

/* ---- whether it is whole ---------------------------------------------------------------------- */

/* Of this build, as a file's header says it. */
#if defined(__x86_64__)
enum { MACHINE = EM_X86_64 };
#elif defined(__aarch64__)
enum { MACHINE = EM_AARCH64 };
#elif defined(__riscv)
enum { MACHINE = EM_RISCV };
#else
enum { MACHINE = EM_NONE }; /* not known here: the loader says it */
#endif

static bool is_within(uint64_t at, uint64_t n, uint64_t size, uint64_t bytes)
{
    return at <= bytes && (size == 0 || n <= (bytes - at) / size);
}

/* Everything that the headers place lies within the file; what the loader maps beyond its end would end the process. */
static bool is_whole(const conure_map *map, const Elf64_Ehdr *h)
{
    const uint64_t sections = h->e_shnum ? h->e_shnum : h->e_shoff ? 1 : 0; /* of more than 16 bits the first has the number */
    if (!is_within(h->e_shoff, sections, h->e_shentsize, map->bytes) || h->e_phentsize != sizeof(Elf64_Phdr) ||
        !is_within(h->e_phoff, h->e_phnum, sizeof(Elf64_Phdr), map->bytes))
        return false;
    for (uint32_t i = 0; i < h->e_phnum; i++) {
        Elf64_Phdr p;
        memcpy(&p, map->data + h->e_phoff + i * sizeof p, sizeof p);
        if (!is_within(p.p_offset, p.p_filesz, 1, map->bytes))
            return false;
    }
    return true;
}

conure_status conure_ort_check_file(const char *path, conure_error *err)
{
    Elf64_Ehdr h;
    conure_map map;
    conure_status status = conure_map_open(&map, path, err);
    if (status != CONURE_OK)
        return CONURE_BACKEND;
    if (map.bytes < sizeof h || memcmp(map.data, ELFMAG, SELFMAG) != 0) {
        status = conure_fail(err, CONURE_BACKEND, "%s: is no shared library: it has no ELF header", path);
    } else {
        memcpy(&h, map.data, sizeof h);
        if (h.e_ident[EI_CLASS] != ELFCLASS64 || h.e_ident[EI_DATA] != ELFDATA2LSB || h.e_type != ET_DYN ||
            (MACHINE != EM_NONE && h.e_machine != MACHINE))
            status = conure_fail(err, CONURE_BACKEND, "%s: is no shared library for this machine (class %u, machine %u)", path,
                                 h.e_ident[EI_CLASS], h.e_machine);
        else if (!is_whole(&map, &h))
            status = conure_fail(err, CONURE_BACKEND, "%s: is cut short: its %llu bytes end before what its header places; fetch it again", path,
                                 (unsigned long long)map.bytes);
    }
    conure_map_close(&map);
    return status;
}
