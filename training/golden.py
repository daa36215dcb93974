"""NeMo's golden data of a shipped model: of its int8 weights dequantised, which are the model.  Minutes on a CPU.

usage: golden.py MODEL.conure[.gz] AUDIO_DIR OUT_DIR [--nemo OUT.nemo]      (needs nemo_toolkit[asr] 2.7.3)

AUDIO_DIR is tests/data/audio, OUT_DIR tests/data/golden, which gets
  embedded.json         every clip and six cuts of each: text, tokens, frames, durations, and the smallest distance between what was chosen
                        and what was not, in logits
  embedded.safetensors.gz  of the clip that the program carries: features, the encoder's output, logits of every step of the decoder, by
                        the names that tests/data/golden/README.md explains, with the prefix `clip`
"""
import argparse, glob, json, os, pathlib, random, struct, subprocess, sys, tempfile
import numpy as np
import sentencepiece
import soundfile
import torch
from dequantise import read
from export import DURATIONS, build

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / 'tests/data'))
from make_golden import write_safetensors

CLIP = 'librispeech_e29030942b'
CUTS, SEED = 6, 20263


def field(number, value):
    """One field of a protocol buffer: an integer, a float, or bytes."""
    def varint(n):
        n &= (1 << 64) - 1
        return bytes([n]) if n < 128 else bytes([n & 127 | 128]) + varint(n >> 7)
    if isinstance(value, float):
        return varint(number << 3 | 5) + struct.pack('<f', value)
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def tokenizer(metadata, path):
    """Of the pieces in a converted file, whose order says which merge came first, as SentencePiece has it."""
    stored = json.loads(metadata['conure.tokenizer'])
    pieces = [field(1, piece.encode()) + field(2, -float(max(0, i - 1))) + field(3, int(kind))
              for i, (piece, kind) in enumerate(zip(stored['pieces'], stored['types']))]
    trainer = field(3, 2) + field(4, len(pieces)) + field(40, 0) + field(41, -1) + field(42, -1) + field(43, -1)       # BPE; unk, bos, eos, pad
    normalizer = field(1, b'identity') + field(3, int(stored['add_dummy_prefix'])) + field(4, int(stored['remove_extra_whitespaces']))
    with open(path, 'wb') as f:
        f.write(b''.join(field(1, p) for p in pieces) + field(2, trainer) + field(3, normalizer))


def plain(tensor):
    return torch.empty(tensor.shape, dtype=tensor.dtype).copy_(tensor.as_subclass(torch.Tensor)).contiguous()


def encode(model, pcm):
    x, n = torch.from_numpy(pcm)[None], torch.tensor([len(pcm)])
    mel, frames = model.preprocessor(input_signal=x, length=n)
    encoder, length = model.encoder(audio_signal=mel, length=frames)
    return mel, encoder, length


def decode(model, encoder, length):
    """NeMo's own decoding, and the same loop once more step by step with its modules: they must agree."""
    computer = model.decoding.decoding.decoding_computer
    computer.include_duration = True
    batch = computer(encoder.transpose(1, 2), length)[0]
    n, V = int(batch.current_lengths[0]), model.decoder.vocab_size
    nemo = [x[0, :n].tolist() for x in (batch.transcript, batch.timestamps, batch.token_durations)]
    projected = model.joint.project_encoder(encoder.transpose(1, 2))
    out, steps, margin, t, last, count, label = ([], [], []), [], float('inf'), 0, -1, 0, V
    g, state = model.decoder.predict(torch.tensor([[V]]), None, add_sos=False, batch_size=1)
    while t < int(length):
        z = model.joint.joint_after_projection(projected[:, t:t + 1], model.joint.project_prednet(g))[0, 0, 0]
        token, duration = int(z[:V + 1].argmax()), DURATIONS[int(z[V + 1:].argmax())]
        for part in (z[:V + 1], z[V + 1:]):
            best = part.topk(2).values
            margin = min(margin, float(best[0] - best[1]))
        steps.append(dict(logits=plain(z), frame=t, label=label, token=token, duration=duration))
        if token == V:
            t += max(duration, 1)
            continue
        for part, value in zip(out, (token, t, duration)):
            part.append(value)
        count, last, label = count + 1 if last == t else 1, t, token
        g, state = model.decoder.predict(torch.tensor([[token]]), state, add_sos=False, batch_size=1)
        t += duration
        if count >= 10 and t == last:
            t += 1
    assert list(out) == nemo
    return out, steps, margin


def cases(folder):
    """(file, first sample, samples): each whole, and cuts of it between .3 s and all of it."""
    rng = random.Random(SEED)
    for path in sorted(glob.glob(os.path.join(folder, '*.flac'))):
        n = soundfile.info(path).frames
        yield path, 0, n
        for _ in range(CUTS):
            length = rng.randint(4800, n)
            yield path, rng.randint(0, n - length), length


def transcripts(model, pieces, folder):
    rows = []
    for path, first, n in cases(folder):
        pcm = soundfile.read(path, dtype='float32')[0][first:first + n]
        _, encoder, length = encode(model, pcm)
        (tokens, frames, durations), _, margin = decode(model, encoder, length)
        rows.append(dict(file=os.path.basename(path), first=first, samples=n, text=pieces.decode(tokens), tokens=tokens, frames=frames,
                         durations=durations, margin=float('%.2g' % margin)))
    return rows


def tensors(model, path):
    mel, encoder, length = encode(model, soundfile.read(path, dtype='float32')[0])
    (tokens, frames, durations), steps, _ = decode(model, encoder, length)
    kept = dict(mel=plain(mel)[0], encoder=plain(encoder)[0], encoder_len=plain(length), tokens=torch.tensor(tokens), frames=torch.tensor(frames),
                durations=torch.tensor(durations), step_logits=torch.stack([s['logits'] for s in steps]))
    for name in ('frame', 'label', 'token', 'duration'):
        kept['step_' + name] = torch.tensor([s[name] for s in steps])
    return {'clip.' + name: (dict(dtype='I64' if x.dtype == torch.int64 else 'F32', shape=list(x.shape)), x.contiguous().numpy().tobytes())
            for name, x in kept.items()}


def main():
    p = argparse.ArgumentParser()
    p.add_argument('model')
    p.add_argument('audio')
    p.add_argument('out')
    p.add_argument('--nemo')
    args = p.parse_args()
    torch.set_num_threads(1)
    weights, metadata = read(args.model)
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        path = os.path.join(folder, 'tokenizer.model')
        tokenizer(metadata, path)
        model = build({k: torch.from_numpy(np.array(v)) for k, v in weights.items()}, path, folder)
        if args.nemo:
            model.save_to(args.nemo)
        pieces = sentencepiece.SentencePieceProcessor(model_file=path)
        rows = transcripts(model, pieces, args.audio)
        clip = tensors(model, os.path.join(args.audio, CLIP + '.flac'))
    about = dict(made_by='training/golden.py', nemo='2.7.3', model_sha256=metadata['conure.sha256'])
    with open(os.path.join(args.out, 'embedded.json'), 'w') as f:
        f.write(json.dumps(dict(about, cases=0))[:-2] + '[\n' + ',\n'.join(json.dumps(r, separators=(',', ':')) for r in rows) + ']}\n')
    packed = pathlib.Path(args.out) / 'embedded.safetensors'
    size = write_safetensors(packed, clip, dict(about, clip=CLIP))
    subprocess.run(['gzip', '--best', '--no-name', '--force', packed], check=True)
    print(len(rows), 'cases,', sum(len(r['tokens']) for r in rows), 'tokens, smallest margin', min(r['margin'] for r in rows), '; tensors', size, 'bytes')


if __name__ == '__main__':
    main()
