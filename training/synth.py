"""Speak text.tsv with espeak-ng, flite and hibari-tts, in process, into shards of int16 samples.

usage: synth.py TEXT.tsv OUT_DIR --workers N [--seconds S] [--seed K] [--limit LINES]
       CONURE_TTS names a folder with the libraries (lib/) and espeak-ng-data/; without it the system's are used.

A shard is OUT_DIR/<worker>-<number>.npz: samples (all clips end to end), lengths, lines (line numbers of TEXT.tsv).
It appears under its name only when it is complete, so that training can read the folder while this runs.
"""
import argparse, ctypes, glob, multiprocessing, os, random, time
import numpy as np
from scipy.signal import resample_poly

RATE = 16000
ACCENTS = ['en-us'] * 6 + ['en-gb-x-rp'] * 2 + ['en-gb-scotland', 'en-029', 'en-us-nyc', 'en-gb-x-gbcwmd', 'en-gb-x-gbclan']
VARIANTS = [''] * 3 + ('m1 m2 m3 m4 m5 m6 m7 m8 f1 f2 f3 f4 f5 Alex Alicia Andrea Andy Annie Denis Diogo Gene Gene2 Henrique Hugo Jacky '
    'Lee Marco Mario Michael Mike Nguyen adam anika antonio aunty belinda benjamin boris caleb david ed edward edward2 grandma grandpa '
    'gustave iven iven2 iven3 iven4 john klatt klatt2 klatt3 klatt4 linda marcelo max michel miguel norbert pablo paul pedro quincy rob '
    'robert sandro shelby steph steph2 steph3 travis victor zac').split()
FLITE = ['cmu_us_slt'] * 4 + ['cmu_us_rms'] * 4 + ['cmu_us_awb'] * 4 + ['cmu_us_kal16'] * 2


def library(name):
    folder = os.environ.get('CONURE_TTS')
    if folder:
        found = glob.glob(os.path.join(folder, 'lib', name))
        if found:
            name = found[0]
    return ctypes.CDLL(name, mode=ctypes.RTLD_GLOBAL)


class Espeak:
    RETRIEVAL, CHARS_UTF8, RATE_PARAM, VOLUME, PITCH, RANGE, WORDGAP = 1, 1, 1, 2, 3, 4, 7

    def __init__(self):
        self.lib = library('libespeak-ng.so.1')
        data = os.environ.get('CONURE_TTS')
        self.rate = self.lib.espeak_Initialize(self.RETRIEVAL, 500, data.encode() if data else None, 0)
        if self.rate <= 0:
            raise RuntimeError('espeak-ng does not start')
        self.parts = []
        self.callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)(self.take)
        self.lib.espeak_SetSynthCallback(self.callback)

    def take(self, samples, count, events):
        if samples and count > 0:
            self.parts.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0

    def speak(self, text, rng):
        variant = rng.choice(VARIANTS)
        voice = rng.choice(ACCENTS) + ('+' + variant if variant else '')
        if self.lib.espeak_SetVoiceByName(voice.encode()) != 0:
            return None
        self.lib.espeak_SetParameter(self.RATE_PARAM, rng.randint(115, 225), 0)
        self.lib.espeak_SetParameter(self.PITCH, rng.randint(15, 85), 0)
        self.lib.espeak_SetParameter(self.RANGE, rng.randint(20, 90), 0)
        self.lib.espeak_SetParameter(self.WORDGAP, rng.choice([0, 0, 0, 0, 1, 2, 4]), 0)
        self.parts = []
        raw = text.encode() + b'\0'
        self.lib.espeak_Synth(raw, ctypes.c_size_t(len(raw)), 0, 0, 0, self.CHARS_UTF8, None, None)
        self.lib.espeak_Synchronize()
        if not self.parts:
            return None
        return resample_poly(np.concatenate(self.parts).astype(np.float32), 320, 441) if self.rate == 22050 else None


class Wave(ctypes.Structure):
    _fields_ = [('type', ctypes.c_char_p), ('rate', ctypes.c_int), ('count', ctypes.c_int), ('channels', ctypes.c_int),
                ('samples', ctypes.POINTER(ctypes.c_short))]


class Flite:
    def __init__(self):
        for part in ('libflite', 'libflite_usenglish', 'libflite_cmulex'):
            lib = library(part + '.so.1')
            self.lib = self.lib if hasattr(self, 'lib') else lib
        self.lib.flite_init()
        self.lib.flite_text_to_wave.restype = ctypes.POINTER(Wave)
        self.lib.flite_text_to_wave.argtypes = [ctypes.c_char_p, ctypes.c_void_p]
        self.lib.delete_wave.argtypes = [ctypes.POINTER(Wave)]
        self.lib.flite_feat_set_float.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_float]
        self.voices = {}
        for name in set(FLITE):
            register = getattr(library(f'libflite_{name}.so.1'), f'register_{name}')
            register.restype, register.argtypes = ctypes.c_void_p, [ctypes.c_char_p]
            voice = register(None)
            self.voices[name] = (voice, self.features(voice))

    @staticmethod
    def features(voice):
        """cst_voice begins with a name and its features."""
        return ctypes.cast(voice, ctypes.POINTER(ctypes.c_void_p))[1]

    def speak(self, text, rng):
        name = rng.choice(FLITE)
        voice, features = self.voices[name]
        size = rng.choice([84, 88, 92, 96, 100, 100, 104, 108, 112, 116, 120])       # played slower: a larger speaker
        self.lib.flite_feat_set_float(features, b'duration_stretch', rng.uniform(.78, 1.35) * size / 100)
        if name in ('cmu_us_kal16',):
            self.lib.flite_feat_set_float(features, b'int_f0_target_mean', rng.uniform(80, 150))
        wave = self.lib.flite_text_to_wave(text.encode(), voice)
        if not wave:
            return None
        samples = np.ctypeslib.as_array(wave.contents.samples, (wave.contents.count,)).astype(np.float32)
        rate = wave.contents.rate
        self.lib.delete_wave(wave)
        if rate != RATE:
            return None
        return samples if size == 100 else resample_poly(samples, 25, size // 4)


class Hibari:
    """hibari-tts (Apache-2.0), one American voice with the prosody of a large model.  It predicts harmonic and noise spectra and
    a pitch curve; moving the formants, the pitch and its range, and the breath before they are made sound gives many speakers."""

    def __init__(self):
        import hibari
        from hibari import dsp
        self.dsp, self.tts = dsp, hibari.Hibari()

    def speak(self, text, rng):
        noise = np.random.default_rng(rng.getrandbits(32))
        man = rng.random() < .5
        formant = rng.uniform(.80, 1.0) if man else rng.uniform(.92, 1.18)        # above 1: a shorter vocal tract
        pitch = rng.uniform(.42, .75) if man else rng.uniform(.8, 1.35)
        span, breath, voice = rng.uniform(.4, 1.5), rng.uniform(-.5, 1.), rng.uniform(-.5, .2)
        speed, tilt = rng.uniform(.85, 1.4), rng.uniform(-.8, .8)
        if rng.random() < .1:
            formant, pitch, span = 1., 1., 1.
        out = []
        for phonemes in self.tts.phonemize(text):
            ids = np.asarray([self.tts.ids(phonemes)], np.int64)
            if ids.shape[1] < 3:
                continue
            parts = self.tts.sess.run(None, dict(ids=ids, speed=np.asarray([speed], np.float32)))
            harmonic, turn, hiss, free, phase, f0 = (p[0] for p in parts)
            take = np.minimum((np.arange(601) / formant).round().astype(int), 600)
            slope = (tilt * np.log2(np.maximum(np.arange(601), 8) / 60) / 3).astype(np.float32)[:, None]
            harmonic, turn, hiss, free, phase = harmonic[take] + slope, turn[take], hiss[take] + slope, free[take] + slope, phase[take]
            voiced = f0 > 40
            if voiced.any():
                mean = np.exp(np.log(f0[voiced]).mean())
                f0 = np.where(voiced, (mean * pitch * (np.maximum(f0, 41) / mean) ** span).clip(55, 500), 0).astype(np.float32)
                # What follows no pitch pulse keeps the old pitch where there is voice: there it becomes breath.
                phase = np.where(voiced[None], noise.uniform(-np.pi, np.pi, phase.shape).astype(np.float32), phase)
                free = free + np.where(voiced, -1., 0).astype(np.float32)[None]
            out.append(self.dsp.synth(harmonic + np.float32(voice), turn, hiss + np.float32(breath), free + np.float32(.3 * breath), phase, f0, noise))
        return resample_poly(np.concatenate(out), 2, 3) if out else None


def trim(w, level=.004):
    """Cut leading and trailing near-silence to 50 ms: training adds its own."""
    loud = np.flatnonzero(np.abs(w) > level * max(1., np.abs(w).max()))
    return w[max(0, loud[0] - 800):loud[-1] + 800] if len(loud) else w[:0]


def work(worker, args):
    os.nice(5)
    lines = open(args.text).read().split('\n')[:-1][:args.limit]
    rng = random.Random(args.seed * 1000 + worker)
    engines, shares, start = [Espeak(), Flite()], [.3, .35], time.time()
    try:
        engines.append(Hibari())
        shares.append(.35)
    except Exception as e:
        print('without hibari:', repr(e), flush=True)
    samples, lengths, used, number = [], [], [], 0
    first = 64
    for i in range(worker, len(lines), args.workers):
        if time.time() - start > args.seconds:
            break
        written = lines[i].split('\t')[1]
        w = rng.choices(engines, shares)[0].speak(written, rng)
        if w is None or len(w) < 1600:
            continue
        w = trim(w)
        if not RATE * .15 < len(w) < RATE * 16.5:
            continue
        samples.append((w * (rng.uniform(8000, 28000) / np.abs(w).max())).astype(np.int16))
        lengths.append(len(w))
        used.append(i)
        if len(used) >= first:
            save(args.out, worker, number, samples, lengths, used)
            samples, lengths, used, number, first = [], [], [], number + 1, min(800, first * 2)
    if used:
        save(args.out, worker, number, samples, lengths, used)


def save(out, worker, number, samples, lengths, used):
    path = os.path.join(out, f'{worker:02d}-{number:04d}.npz')
    with open(path + '.part', 'wb') as f:
        np.savez(f, samples=np.concatenate(samples), lengths=np.array(lengths, np.int32), lines=np.array(used, np.int32))
    os.rename(path + '.part', path)


if __name__ == '__main__':
    p = argparse.ArgumentParser()
    p.add_argument('text')
    p.add_argument('out')
    p.add_argument('--workers', type=int, default=2)
    p.add_argument('--seconds', type=float, default=1e9)
    p.add_argument('--seed', type=int, default=1)
    p.add_argument('--limit', type=int, default=1 << 60)
    args = p.parse_args()
    os.makedirs(args.out, exist_ok=True)
    jobs = [multiprocessing.Process(target=work, args=(k, args)) for k in range(args.workers)]
    [j.start() for j in jobs]
    [j.join() for j in jobs]
    clips = seconds = 0
    for path in glob.glob(os.path.join(args.out, '*.npz')):
        n = np.load(path)['lengths']
        clips, seconds = clips + len(n), seconds + n.sum() / RATE
    print(f'{clips} clips, {seconds / 3600:.2f} h', [j.exitcode for j in jobs])
