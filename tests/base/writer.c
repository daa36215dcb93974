/* Files appear whole or not at all: commit, abort, a limit on size, a full disk, odd targets. */
#include <dirent.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/files.h"
#include "test.h"

static int n_entries(void)
{
    int n = 0;
    DIR *folder = opendir(".");
    for (struct dirent *entry; folder && (entry = readdir(folder));)
        n += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    if (folder)
        closedir(folder);
    return n;
}

static void expect_content(const char *path, const char *want)
{
    char *text = NULL;
    size_t bytes = 0;
    test_int(conure_file_read(&text, &bytes, path, 1 << 24, NULL), CONURE_OK);
    test_text(text, want);
    free(text);
}

static void write_text(const char *path, const char *text)
{
    conure_writer *writer = NULL;
    conure_error err = {""};
    test_int(conure_writer_open(&writer, path, &err), CONURE_OK);
    test_text(err.text, "");
    if (!writer)
        return;
    test_int(conure_writer_write(writer, text, strlen(text), &err), CONURE_OK);
    test_int(conure_writer_write(writer, NULL, 0, &err), CONURE_OK);
    test_int(conure_writer_commit(&writer, &err), CONURE_OK);
    test_true(writer == NULL);
}

static void test_commit_and_abort(void)
{
    conure_writer *writer = NULL;
    struct stat info;
    write_text("new", "first");
    expect_content("new", "first");
    const mode_t mask = umask(0);
    umask(mask);
    test_true(stat("new", &info) == 0 && (info.st_mode & 0777) == (0666 & ~mask));
    write_text("new", "second");
    expect_content("new", "second");
    test_int(n_entries(), 1);

    test_int(conure_writer_open(&writer, "new", NULL), CONURE_OK);
    test_int(conure_writer_write(writer, "third", 5, NULL), CONURE_OK);
    expect_content("new", "second"); /* until the commit */
    test_int(n_entries(), 2);
    conure_writer_abort(&writer);
    test_true(writer == NULL);
    conure_writer_abort(&writer);
    conure_writer_abort(NULL);
    expect_content("new", "second");
    test_int(n_entries(), 1);

    test_int(symlink("new", "link"), 0); /* what it points to is replaced, not the link */
    write_text("link", "through");
    test_true(lstat("link", &info) == 0 && S_ISLNK(info.st_mode));
    expect_content("new", "through");
    unlink("link");
    unlink("new");
}

/* Pieces of every size around the buffer's. */
static void test_pieces(void)
{
    enum { BYTES = 3000000 };
    uint8_t *data = malloc(BYTES);
    char *back = NULL;
    size_t bytes = 0, at = 0;
    conure_writer *writer = NULL;
    uint64_t seed = 5;
    test_true(data != NULL);
    for (size_t i = 0; data && i < BYTES; i++)
        data[i] = (uint8_t)test_random(&seed);
    test_int(conure_writer_open(&writer, "pieces", NULL), CONURE_OK);
    while (data && writer && at < BYTES) {
        const uint64_t random = test_random(&seed);
        size_t n = (size_t)(random >> 16) % (random & 1 ? 600000 : 5000);
        n = n < BYTES - at ? n : BYTES - at;
        test_int(conure_writer_write(writer, data + at, n, NULL), CONURE_OK);
        at += n;
    }
    test_int(conure_writer_commit(&writer, NULL), CONURE_OK);
    test_int(conure_file_read(&back, &bytes, "pieces", BYTES, NULL), CONURE_OK);
    test_int(bytes, BYTES);
    test_true(back && data && memcmp(back, data, BYTES) == 0);
    free(back);
    free(data);
    unlink("pieces");
}

/* Write 1 MB where only some of it fits: the error comes at a write or at the commit, is kept, names the
 * file and the reason, and leaves the old file as it was and nothing else. */
static void expect_no_room(const char *reason)
{
    char block[1000] = {0};
    conure_error err = {""};
    conure_writer *writer = NULL;
    conure_status status = CONURE_OK;
    const int n_before = n_entries();
    test_int(conure_writer_open(&writer, "kept", &err), CONURE_OK);
    if (!writer)
        return;
    for (int i = 0; i < 1000 && status == CONURE_OK; i++)
        status = conure_writer_write(writer, block, sizeof block, &err);
    test_int(status, CONURE_IO);
    test_int(conure_writer_write(writer, block, 1, &err), CONURE_IO);
    test_int(conure_writer_commit(&writer, &err), CONURE_IO);
    test_true(writer == NULL && strncmp(err.text, "kept: cannot write: ", 20) == 0);
    test_contains(err.text, reason);
    test_contains(err.text, "choose another place");
    expect_content("kept", "old");
    test_int(n_entries(), n_before);

    /* All of it in the buffer: only the commit can tell. */
    char small[100000] = {0};
    test_int(conure_writer_open(&writer, "kept", &err), CONURE_OK);
    test_int(conure_writer_write(writer, small, sizeof small, &err), CONURE_OK);
    test_int(conure_writer_commit(&writer, &err), CONURE_IO);
    test_contains(err.text, reason);
    expect_content("kept", "old");
    test_int(n_entries(), n_before);
}

static void test_size_limit(void)
{
    struct rlimit before, tiny;
    test_int(getrlimit(RLIMIT_FSIZE, &before), 0);
    write_text("kept", "old");
    signal(SIGXFSZ, SIG_IGN);
    tiny = before;
    tiny.rlim_cur = 50000;
    test_int(setrlimit(RLIMIT_FSIZE, &tiny), 0);
    expect_no_room("File too large");
    test_int(setrlimit(RLIMIT_FSIZE, &before), 0);
    unlink("kept");
}

/* A file system of 64 KiB, in a process of its own with its own mounts; where that is not allowed,
 * the case above stands alone. */
static void test_full_disk(void)
{
    enum { NOT_ALLOWED = 77 };
    test_int(mkdir("disk", 0777), 0);
    const pid_t child = fork();
    if (child == 0) {
        const bool mounts = unshare(CLONE_NEWNS) == 0 || unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0;
        if (!mounts || mount("none", "/", "", MS_REC | MS_PRIVATE, NULL) != 0 ||
            mount("tmpfs", "disk", "tmpfs", 0, "size=64k") != 0)
            _exit(NOT_ALLOWED);
        test_failures_ = 0;
        test_int(chdir("disk"), 0);
        write_text("kept", "old");
        expect_no_room("No space left on device");
        test_true(chdir("..") == 0);
        _exit(test_failures_ != 0);
    }
    int rc = -1;
    test_true(child > 0 && waitpid(child, &rc, 0) == child && WIFEXITED(rc));
    if (WEXITSTATUS(rc) == NOT_ALLOWED)
        fprintf(stderr, "base_writer: no mounts allowed here: the full disk was not tried\n");
    else
        test_int(WEXITSTATUS(rc), 0);
    rmdir("disk");
}

static void test_odd_targets(void)
{
    conure_writer *writer = (conure_writer *)&writer;
    conure_error err;
    test_int(conure_writer_open(&writer, "no/such/folder", &err), CONURE_IO);
    test_true(writer == NULL);
    test_contains(err.text, "no/such/folder: cannot create");
    test_contains(err.text, "No such file or directory");
    test_int(conure_writer_open(&writer, ".", &err), CONURE_IO);
    test_contains(err.text, ".: is a folder");
    test_int(conure_writer_open(&writer, "/dev/null", &err), CONURE_IO);
    test_contains(err.text, "/dev/null: is no regular file");
    test_int(n_entries(), 0);

    /* The folder goes away while we write: the commit says so. */
    test_int(mkdir("gone", 0777), 0);
    test_int(conure_writer_open(&writer, "gone/file", &err), CONURE_OK);
    test_true(system("rm -r gone") == 0);
    test_int(conure_writer_commit(&writer, &err), CONURE_IO);
    test_contains(err.text, "gone/file: cannot put the finished file there: No such file");
    test_int(n_entries(), 0);
}

int main(void)
{
    char folder[] = "conure-writer-XXXXXX";
    test_begin("base_writer");
    test_true(mkdtemp(folder) && chdir(folder) == 0);
    test_commit_and_abort();
    test_pieces();
    test_odd_targets();
    test_size_limit();
    test_full_disk();
    test_int(n_entries(), 0);
    test_true(chdir("..") == 0 && rmdir(folder) == 0);
    return test_end();
}
