"""Test sets as folders of 16 kHz WAV files with a references.tsv (file, text).  They judge the model and never train it.

usage: testsets.py dev        SPEECH_DEV_DIR SPEECH_DEV.tsv OUT_DIR
       testsets.py asterisk   SOUNDS_DIR core-sounds-en.txt.gz OUT_DIR      (needs ffmpeg for G.722)
       testsets.py sphinx     POCKETSPHINX_TEST_DATA OUT_DIR
       testsets.py spoken     HELD.tsv espeak|flite|hibari OUT_DIR           (sentences that text.py set aside, by a synthesiser)
"""
import csv, gzip, os, random, re, subprocess, sys, wave
from text import normalise

SEED = 20262


def to_wav(src, dst, *options):
    subprocess.run(['ffmpeg', '-v', 'error', '-y', *options, '-i', src, '-ar', '16000', '-ac', '1', dst], check=True)


def dev(folder, tsv, out):
    for row in csv.DictReader(open(tsv), delimiter='\t'):
        name = row['file'].rsplit('.', 1)[0] + '.wav'
        to_wav(os.path.join(folder, row['file']), os.path.join(out, name))
        yield name, row['text']


def asterisk(folder, texts, out):
    """One entry a prompt; entries that describe a sound ([beep]) or hold digits are left out."""
    entries, key = {}, None
    for line in gzip.open(texts, 'rt', errors='replace'):
        line = line.rstrip('\n')
        if line.startswith(';') or not line.strip():
            continue
        m = re.match(r'^([a-zA-Z0-9_/-]+):\s*(.*)$', line)
        if m:
            key = m.group(1)
            entries[key] = m.group(2)
        elif key:
            entries[key] += ' ' + line.strip()
    for key, written in sorted(entries.items()):
        text = None if re.search(r'[\[\]()*]', written) else normalise(written)
        source = os.path.join(folder, key + '.g722')
        if text and os.path.exists(source):
            name = key.replace('/', '_') + '.wav'
            to_wav(source, os.path.join(out, name), '-f', 'g722')
            yield name, text


def sphinx(folder, out):
    for part in ('librivox', 'cards'):
        for line in open(os.path.join(folder, part, 'transcription' if part == 'librivox' else 'cards.transcription')):
            m = re.match(r'<s> (.*?) *</s> \((.*)\)', line)
            name = f'{part}_{m.group(2)}.wav'
            to_wav(os.path.join(folder, part, m.group(2) + '.wav'), os.path.join(out, name))
            yield name, m.group(1)


def spoken(table, engine, out):
    """In the voices of training: every sentence by a speaker and at a pace of its own."""
    import numpy as np
    import synth
    speaker, rng = dict(espeak=synth.Espeak, flite=synth.Flite, hibari=synth.Hibari)[engine](), random.Random(SEED)
    for i, line in enumerate(open(table)):
        _, written, text = line.rstrip('\n').split('\t')
        samples = None
        while samples is None or len(samples) < 1600:
            samples = speaker.speak(written, rng)
        name = f'{engine}_{i:03d}.wav'
        with wave.open(os.path.join(out, name), 'wb') as f:
            f.setparams((1, 2, synth.RATE, 0, 'NONE', ''))
            f.writeframes((samples * (16000 / np.abs(samples).max())).astype('<i2').tobytes())
        yield name, text


if __name__ == '__main__':
    out = sys.argv[-1]
    os.makedirs(out, exist_ok=True)
    with open(os.path.join(out, 'references.tsv'), 'w') as f:
        for name, text in globals()[sys.argv[1]](*sys.argv[2:]):
            f.write(f'{name}\t{text}\n')
