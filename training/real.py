"""Decode recordings into shards for training.  usage: real.py FOLDER SPEECH_TRAIN.tsv OUT_DIR PREFIX [--workers N]

Takes those rows of the table whose file is in FOLDER; the shards (real-PREFIX-*.npz) are as synth.py's, lines being rows of the table.
"""
import csv, os, sys
from multiprocessing import Pool
import numpy as np


def decode(job):
    import soundfile
    path, line = job
    samples, rate = soundfile.read(path, dtype='int16')
    assert rate in (16000, 48000) and samples.ndim == 1, path
    if rate == 48000:
        from scipy.signal import resample_poly
        samples = resample_poly(samples.astype(np.float32), 1, 3).clip(-32768, 32767).astype(np.int16)
    return samples, line


if __name__ == '__main__':
    folder, table, out, prefix = sys.argv[1:5]
    rows = list(csv.DictReader(open(table), delimiter='\t'))
    jobs = [(os.path.join(folder, r['file']), i) for i, r in enumerate(rows) if os.path.exists(os.path.join(folder, r['file']))]
    os.makedirs(out, exist_ok=True)
    with Pool(int(sys.argv[6]) if len(sys.argv) > 6 else 8) as pool:
        clips = pool.map(decode, jobs, 16)
    for k in range(0, len(clips), 1000):
        part = clips[k:k + 1000]
        path = os.path.join(out, f'real-{prefix}-{k // 1000}.npz')
        with open(path + '.part', 'wb') as f:
            np.savez(f, samples=np.concatenate([c[0] for c in part]), lengths=np.array([len(c[0]) for c in part], np.int32),
                     lines=np.array([c[1] for c in part], np.int32))
        os.rename(path + '.part', path)
    print(len(clips), 'clips', sum(len(c[0]) for c in clips) / 16000 / 3600, 'h')
