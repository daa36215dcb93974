/* files.c - paths, standard input, pipes, limits, cancelling, whole files. */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "make.h"
#include "test.h"

static conure_audio_options defaults(void)
{
    conure_audio_options o;
    conure_audio_options_init(&o);
    return o;
}

static void refused(const char *path, const conure_audio_options *o, conure_status status,
                    const char *says)
{
    conure_error err = {""};
    conure_audio_clip clip;
    memset(&clip, 0xff, sizeof clip);
    test_int(conure_audio_load(&clip, path, o, &err), status);
    test_contains(err.text, says);
    test_contains(err.text, strcmp(path, "-") == 0 ? "standard input" : path);
    test_true(clip.pcm == NULL);
    conure_audio_clip_free(&clip);
}

static void test_paths(void)
{
    refused("no/such/file.wav", NULL, CONURE_IO, "No such file");
    refused(".", NULL, CONURE_IO, "is a folder: name the audio files in it");
    refused(make_on_disk("empty", "", 0), NULL, CONURE_BAD_FILE, "is empty");
    const char *path = make_on_disk("locked", "RIFF", 4);
    const uid_t user = geteuid();
    chmod(path, 0);
    if (user != 0 || seteuid(65534) == 0) { /* root may read anything */
        refused(path, NULL, CONURE_IO, "cannot be opened: Permission denied");
        test_int(seteuid(user), 0);
    }
    unlink(path);
    conure_audio_options o = defaults();
    o.spool_bytes_max = 1 << 20;
    refused("/dev/zero", &o, CONURE_LIMIT, "more than 1 MiB through a pipe");
}

/* ---- pipes ----------------------------------------------------------------------------------- */

/* Writes bytes in odd portions, then closes; or, with wait_ms, holds the pipe open in silence. */
typedef struct feed {
    int fd;
    const uint8_t *data;
    size_t bytes;
    int wait_ms;
    volatile int *cancel;
} feed;

static void *feed_thread(void *arg)
{
    const feed *f = arg;
    for (size_t done = 0; done < f->bytes;) {
        const size_t n = f->bytes - done < 7777 ? f->bytes - done : 7777;
        const ssize_t put = write(f->fd, f->data + done, n);
        if (put < 0)
            break;
        done += (size_t)put;
    }
    if (f->wait_ms) {
        usleep((useconds_t)f->wait_ms * 1000);
        __atomic_store_n(f->cancel, 1, __ATOMIC_RELAXED);
        usleep(300000); /* the pipe stays open: only the flag can end the read */
    }
    close(f->fd);
    return NULL;
}

/* Load what a thread writes into standard input. */
static conure_status load_piped(conure_audio_clip *clip, feed f, const conure_audio_options *o,
                                conure_error *err)
{
    int ends[2];
    pthread_t thread;
    const int saved = dup(STDIN_FILENO);
    if (pipe(ends) != 0 || dup2(ends[0], STDIN_FILENO) < 0)
        abort();
    close(ends[0]);
    f.fd = ends[1];
    pthread_create(&thread, NULL, feed_thread, &f);
    const conure_status status = conure_audio_load(clip, "-", o, err);
    dup2(saved, STDIN_FILENO); /* closes the reading end: a writer that is not done stops */
    close(saved);
    pthread_join(thread, NULL);
    return status;
}

static void test_standard_input(void)
{
    enum { N = 100000 };
    static const int formats[] = {
        SF_FORMAT_WAV | SF_FORMAT_PCM_16, SF_FORMAT_FLAC | SF_FORMAT_PCM_16,
        SF_FORMAT_OGG | SF_FORMAT_VORBIS, SF_FORMAT_MPEG | SF_FORMAT_MPEG_LAYER_III};
    float *samples = make_sine(300, 16000, 0.5, N);
    conure_audio_clip clip, direct;
    conure_error err = {""};
    for (int i = 0; i < 4; i++) {
        made m = make_file(formats[i], 16000, 1, samples, N);
        const char *path = make_on_disk("direct", m.data, m.bytes);
        test_int(load_piped(&clip, (feed){.data = m.data, .bytes = m.bytes}, NULL, &err),
                 CONURE_OK);
        test_int(conure_audio_load(&direct, path, NULL, &err), CONURE_OK);
        test_int(clip.n_samples, N);
        test_true(clip.n_samples == direct.n_samples &&
                  memcmp(clip.pcm, direct.pcm, N * sizeof *clip.pcm) == 0);
        test_true(!clip.info.damaged);
        conure_audio_clip_free(&clip);
        conure_audio_clip_free(&direct);
        unlink(path);
        made_free(&m);
    }
    conure_audio_options o = defaults(); /* raw, without end in sight, read as it comes */
    o.raw = CONURE_AUDIO_F32LE;
    o.raw_rate_hz = 16000;
    feed raw = {.data = (const uint8_t *)samples, .bytes = N * sizeof *samples};
    test_int(load_piped(&clip, raw, &o, &err), CONURE_OK);
    test_true(clip.n_samples == N && memcmp(clip.pcm, samples, N * sizeof *samples) == 0);
    conure_audio_clip_free(&clip);
    o.samples_max = N / 2;
    test_int(load_piped(&clip, raw, &o, &err), CONURE_LIMIT);
    test_contains(err.text, "standard input: longer than the limit of 3.1 s (50000 samples");
    o = defaults();
    o.spool_bytes_max = 1 << 17;
    made m = make_file(SF_FORMAT_WAV | SF_FORMAT_PCM_16, 16000, 1, samples, N);
    test_int(load_piped(&clip, (feed){.data = m.data, .bytes = m.bytes}, &o, &err), CONURE_LIMIT);
    test_contains(err.text, "standard input: more than 0 MiB through a pipe: store it in a file");
    test_int(load_piped(&clip, (feed){.data = m.data}, NULL, &err), CONURE_BAD_FILE);
    test_contains(err.text, "standard input: is empty");
    made_free(&m);
    free(samples);
}

/* Standard input that is a file is read from where it stands; a named pipe is like standard input. */
static void test_redirected(void)
{
    float samples[3000];
    for (int i = 0; i < 3000; i++)
        samples[i] = (float)i / 4096;
    made m = make_file(SF_FORMAT_WAV | SF_FORMAT_FLOAT, 16000, 1, samples, 3000);
    uint8_t *shifted = calloc(1, m.bytes + 100);
    memcpy(shifted + 100, m.data, m.bytes);
    const char *path = make_on_disk("shifted", shifted, m.bytes + 100);
    FILE *file = fopen(path, "rb");
    const int saved = dup(STDIN_FILENO);
    conure_audio_clip clip;
    lseek(fileno(file), 100, SEEK_SET);
    dup2(fileno(file), STDIN_FILENO);
    test_int(conure_audio_load(&clip, "-", NULL, NULL), CONURE_OK);
    dup2(saved, STDIN_FILENO);
    close(saved);
    fclose(file);
    test_true(clip.n_samples == 3000 && memcmp(clip.pcm, samples, sizeof samples) == 0);
    conure_audio_clip_free(&clip);
    unlink(path);

    unlink("test-audio-fifo");
    test_int(mkfifo("test-audio-fifo", 0600), 0);
    const int both = open("test-audio-fifo", O_RDWR); /* so that neither open waits */
    feed f = {.fd = open("test-audio-fifo", O_WRONLY), .data = m.data, .bytes = m.bytes};
    pthread_t thread;
    pthread_create(&thread, NULL, feed_thread, &f);
    conure_audio *audio = NULL;
    conure_error err = {""};
    pthread_join(thread, NULL);
    volatile int cancel = 0;
    conure_audio_options o = defaults();
    o.raw = CONURE_AUDIO_F32LE; /* header and all: whatever the bytes are, they come */
    o.cancel = &cancel;
    test_int(conure_audio_open(&audio, "test-audio-fifo", &o, &err), CONURE_OK);
    close(both);
    size_t n = 0;
    float got[8];
    test_int(conure_audio_read(audio, got, 8, &n, &err), CONURE_OK);
    test_int(n, 8);
    test_true(memcmp(got, m.data, sizeof got) == 0);
    cancel = 1;
    test_int(conure_audio_read(audio, got, 8, &n, &err), CONURE_CANCELLED);
    test_contains(err.text, "test-audio-fifo: cancelled");
    conure_audio_close(&audio);
    unlink("test-audio-fifo");
    free(shifted);
    made_free(&m);
}

static void test_cancel(void)
{
    volatile int cancel = 0;
    conure_audio_options o = defaults();
    conure_audio_clip clip;
    conure_error err = {""};
    o.cancel = &cancel;
    static const uint8_t some[] = "RIFF....WAVE";
    for (int raw = 0; raw < 2; raw++) { /* waiting for a pipe in which nothing comes */
        cancel = 0;
        o.raw = raw ? CONURE_AUDIO_S16LE : CONURE_AUDIO_HEADER;
        feed f = {.data = some, .bytes = 8, .wait_ms = 30, .cancel = &cancel};
        test_int(load_piped(&clip, f, &o, &err), CONURE_CANCELLED);
        test_contains(err.text, "standard input: cancelled");
        test_true(clip.pcm == NULL);
    }
    float *samples = make_sine(300, 16000, 0.5, 100000);
    made m = make_file(SF_FORMAT_FLAC | SF_FORMAT_PCM_16, 16000, 1, samples, 100000);
    o.raw = CONURE_AUDIO_HEADER;
    heard h = hear(m.data, m.bytes, &o); /* set before: nothing is opened */
    test_int(h.status, CONURE_CANCELLED);
    heard_free(&h);
    cancel = 0;
    conure_audio *audio = NULL; /* set between two reads */
    float some_frames[100];
    size_t n = 0;
    test_int(conure_audio_open_memory(&audio, m.data, m.bytes, "clip", &o, &err), CONURE_OK);
    test_int(conure_audio_read(audio, some_frames, 100, &n, &err), CONURE_OK);
    test_int(n, 100);
    cancel = 1;
    test_int(conure_audio_read(audio, some_frames, 100, &n, &err), CONURE_CANCELLED);
    conure_audio_close(&audio);
    test_true(audio == NULL);
    made_free(&m);
    free(samples);
}

/* The flag that ends a pipe: what came is used as if the writer had closed it. */
static void test_end_flag(void)
{
    float *samples = make_sine(300, 16000, 0.5, 5000);
    made m = make_file(SF_FORMAT_FLAC | SF_FORMAT_PCM_16, 16000, 1, samples, 5000);
    for (int raw = 0; raw < 2; raw++) {
        volatile int end = 0;
        conure_audio_options o = defaults();
        conure_audio_clip clip;
        conure_error err = {""};
        o.raw = raw ? CONURE_AUDIO_S16LE : CONURE_AUDIO_HEADER;
        o.end = &end;
        feed f = {.data = m.data, .bytes = m.bytes & ~(size_t)raw, .wait_ms = 30, .cancel = &end};
        test_int(load_piped(&clip, f, &o, &err), CONURE_OK);
        test_int(clip.n_samples, raw ? m.bytes / 2 : 5000);
        test_true(!(clip.info.damaged));
        conure_audio_clip_free(&clip);
    }
    made_free(&m);
    free(samples);
}

/* ---- whole files ----------------------------------------------------------------------------- */

static void test_load(void)
{
    enum { N = 150000, CHANNELS = 3 };
    float *samples = malloc(N * CHANNELS * sizeof *samples);
    for (int i = 0; i < N * CHANNELS; i++)
        samples[i] = (float)(i % 30011) / 32768;
    made m = make_file(SF_FORMAT_WAV | SF_FORMAT_PCM_16, 16000, CHANNELS, samples, N);
    const char *path = make_on_disk("three", m.data, m.bytes);
    conure_audio_options o = defaults();
    conure_audio_clip clip;
    o.channel = CONURE_AUDIO_EACH;
    test_int(conure_audio_load(&clip, path, &o, NULL), CONURE_OK);
    test_int(clip.n_channels, CHANNELS);
    test_int(clip.n_samples, N);
    bool same = clip.n_samples == N;
    for (size_t i = 0; same && i < N * CHANNELS; i++)
        same = clip.pcm[i % CHANNELS * N + i / CHANNELS] == samples[i];
    test_true(same);
    test_int(clip.info.frames_decoded, N);
    conure_audio_clip_free(&clip);
    test_true(clip.pcm == NULL);
    conure_audio_clip_free(NULL);
    o.samples_max = N;
    test_int(conure_audio_load(&clip, path, &o, NULL), CONURE_OK);
    conure_audio_clip_free(&clip);
    o.samples_max = N - 1;
    refused(path, &o, CONURE_LIMIT, "longer than the limit of 9.4 s");
    unlink(path);
    made_free(&m);
    free(samples);
}

/* A header that declares 2^36 - 1 samples costs no memory for them. */
static void test_declares_much(void)
{
    float *samples = make_sine(300, 16000, 0.5, 20000);
    made m = make_file(SF_FORMAT_FLAC | SF_FORMAT_PCM_16, 16000, 1, samples, 20000);
    m.data[4 + 4 + 13] |= 0x0f;
    memset(m.data + 4 + 4 + 14, 0xff, 4);
    const char *path = make_on_disk("long", m.data, m.bytes);
    conure_audio_clip clip;
    test_int(conure_audio_load(&clip, path, NULL, NULL), CONURE_OK);
    test_int(clip.n_samples, 20000);
    test_true(clip.info.damaged);
    test_int(clip.info.frames_declared, 0xfffffffffll);
    conure_audio_clip_free(&clip);
    unlink(path);
    made_free(&m);
    free(samples);
}

/* A file that shrinks after it was opened. */
static void test_shrinks(void)
{
    float *samples = make_sine(300, 16000, 0.5, 200000);
    made m = make_file(SF_FORMAT_WAV | SF_FORMAT_PCM_16, 16000, 1, samples, 200000);
    const char *path = make_on_disk("shrinks", m.data, m.bytes);
    conure_audio *audio = NULL;
    float *got = malloc(200000 * sizeof *got);
    size_t n = 0, total = 0;
    test_int(conure_audio_open(&audio, path, NULL, NULL), CONURE_OK);
    test_int(truncate(path, 100044), 0);
    do {
        test_int(conure_audio_read(audio, got, 200000, &n, NULL), CONURE_OK);
        total += n;
    } while (n);
    test_true(total < 200000);
    test_true(conure_audio_get_info(audio)->damaged);
    test_contains(conure_audio_get_info(audio)->damage, "could be decoded");
    conure_audio_close(&audio);
    unlink(path);
    free(got);
    made_free(&m);
    free(samples);
}

int main(void)
{
    test_begin("audio files");
    signal(SIGPIPE, SIG_IGN); /* writers outlive readers here */
    test_paths();
    test_standard_input();
    test_redirected();
    test_cancel();
    test_end_flag();
    test_load();
    test_declares_much();
    test_shrinks();
    return test_end();
}
