/* files.h - mapping files for reading, writing them so that they appear whole, and hashing. */
#ifndef CONURE_BASE_FILES_H
#define CONURE_BASE_FILES_H

#include "conure.h"

typedef struct conure_map {
    const uint8_t *data; /* page-aligned; NULL for an empty file */
    uint64_t bytes;
} conure_map;

conure_status conure_map_open(conure_map *map, const char *path, conure_error *err);
void conure_map_close(conure_map *map);
/* The pages of this range were read and will not be needed soon: drop them from this process. */
void conure_map_forget(const conure_map *map, const void *start, size_t bytes);

/* Read a whole file of at most bytes_max; *out is NUL-terminated (beyond *bytes) and freed by free().  A regular file: what lies in a folder
 * may be a pipe or a terminal, which would be waited for.  What a user names, and is read once, may be anything: _any reads <(COMMAND) too. */
conure_status conure_file_read(char **out, size_t *bytes, const char *path, size_t bytes_max,
                               conure_error *err);
conure_status conure_file_read_any(char **out, size_t *bytes, const char *path, size_t bytes_max, conure_error *err);

/* Written under a temporary name beside path; commit renames it into place after fsync, abort (or
 * a failed commit) removes it.  Write errors (a full disk) are kept and reported by commit too. */
typedef struct conure_writer conure_writer;
conure_status conure_writer_open(conure_writer **out, const char *path, conure_error *err);
conure_status conure_writer_write(conure_writer *writer, const void *data, size_t bytes,
                                  conure_error *err);
conure_status conure_writer_commit(conure_writer **writer, conure_error *err);
/* All that is left of a commit is to rename: for several files that are to appear together.  Nothing more can be written. */
conure_status conure_writer_finish(conure_writer *writer, conure_error *err);
const char *conure_writer_temporary(const conure_writer *writer); /* its name until then; the writer's */
void conure_writer_abort(conure_writer **writer); /* NULL-safe */
conure_status conure_file_write(const char *path, const void *data, size_t bytes, conure_error *err); /* all of it */
conure_status conure_file_write_line(const char *path, const char *text, conure_error *err); /* and the end of a line */

typedef struct conure_sha256 {
    uint64_t opaque[16]; /* checked against the library's context size at compile time */
} conure_sha256;
void conure_sha256_init(conure_sha256 *sha);
void conure_sha256_add(conure_sha256 *sha, const void *data, size_t bytes);
void conure_sha256_hex(conure_sha256 *sha, char hex[65]); /* ends it */
/* Of a file's bytes.  hex is written only when it returns OK; else what conure_map_open() says. */
conure_status conure_file_sha256(char hex[65], const char *path, conure_error *err);

bool conure_path_join(char *out, size_t cap, const char *folder, const char *name);
bool conure_path_is_folder(const char *path);

#endif
