"""Audio in memory, batches drawn from it, augmentation and features, all on the training device."""
import csv, glob, math, os, threading, time
import numpy as np
import torch
import torch.nn.functional as F
from kernels import launch
from text import normalise

RATE = 16000
EDGES_S = [1.3, 1.9, 2.6, 3.4, 4.4, 5.6, 7.2, 9.5, 12.5, 16.5, 20.5]     # longest clip of a bucket
ROOM = 1.08                                                           # a row is this much longer than its bucket's edge
# Share of the batches' seconds, by source; what is missing so far is shared out among the others.
SHARES = {'librispeech-tc100': .10, 'ljspeech': .005, 'dc_tts-selfrec': .02, 'speechocean762-adult': .055, 'speechocean762-child': .035,
          'prose': .29, 'gloss': .14, 'command': .12, 'call': .22, 'silence': .02}


class Pool:
    """All clips so far: samples in one int16 tensor, and for each clip its place, length, tokens and source."""

    def __init__(self, folder, text, real, encode, capacity_samples, device, hold_out=(), rank=0, world=1):
        self.folder, self.encode, self.device = folder, encode, device
        self.wave = torch.zeros(capacity_samples, dtype=torch.int16, device=device)
        self.used = 8                                                   # room for the sample before a clip
        self.lines = [l.split('\t') for l in open(text).read().split('\n')[:-1]]
        self.real = [(r['source'], r['text']) for r in csv.DictReader(open(real), delimiter='\t')]
        self.hold_out = set(hold_out)
        self.sources = list(SHARES)
        self.seen, self.full = set(), False
        self.parts, self.held = [], []                                  # of every shard (offset, length, source, number of tokens), tokens
        self.index = None
        self.rank, self.world, self.lock = rank, world, threading.Lock()

    def scan(self, most=1 << 30):
        """Take in shards that are new; True if there were any.  Of what is synthesised a process takes its part."""
        mine = lambda p: os.path.basename(p).startswith('real') or int(os.path.basename(p)[:2]) % self.world == self.rank
        new = [p for p in sorted(glob.glob(os.path.join(self.folder, '*.npz')), key=os.path.getmtime) if p not in self.seen and mine(p)][:most]
        for path in new:
            self.seen.add(path)
            if not self.full:
                self.take(path)
        if new:
            self.arrange()
        return bool(new)

    def take(self, path):
        shard = np.load(path)
        samples = torch.from_numpy(shard['samples'])
        if self.used + len(samples) + 8 > len(self.wave):
            self.full = True
            return
        with self.lock:                                                  # never while a graph is recorded
            self.wave[self.used:self.used + len(samples)] = samples.to(self.device)
            if self.device.type == 'cuda':
                torch.cuda.current_stream().synchronize()
        at, real = self.used, os.path.basename(path).startswith('real')
        self.used += len(samples)
        rows, flat = [], []
        clips = [self.real[line] if real else (self.lines[line][0], normalise(self.lines[line][1])) for line in shard['lines'].tolist()]
        encoded = self.encode([text for _, text in clips])
        for n, line, (kind, _), tokens in zip(shard['lengths'].tolist(), shard['lines'].tolist(), clips, encoded):
            row = (at, n, self.sources.index(kind), len(tokens))
            at += n
            if real and line in self.hold_out:
                self.held.append((*row[:3], tokens))
            # The lattice needs room: a label takes no less than the average frame allows.
            elif 1 <= len(tokens) <= 200 and n / 1280 > .35 * len(tokens) and RATE * .2 < n <= RATE * EDGES_S[-1]:
                rows.append(row)
                flat.extend(tokens)
        if rows:
            self.parts.append((np.array(rows, np.int64), np.array(flat, np.int32)))

    def arrange(self):
        self.index = Index(self)


class Index:
    """A fixed view of the pool by bucket and source."""

    def __init__(self, pool):
        rows = np.concatenate([p[0] for p in pool.parts])
        self.offset, self.length, source, counts = rows[:, 0].copy(), rows[:, 1].astype(np.int32), rows[:, 2], rows[:, 3]
        self.n_tokens, self.token_start = counts, np.concatenate([[0], np.cumsum(counts)])[:-1]
        self.tokens = np.concatenate([p[1] for p in pool.parts])
        bucket = np.searchsorted(np.array(EDGES_S) * RATE, self.length)
        n, s = len(EDGES_S), len(SHARES)
        self.lists = [[np.flatnonzero((bucket == b) & (source == k)) for k in range(s)] for b in range(n)]
        seconds = np.array([[self.length[i].sum() / RATE for i in row] for row in self.lists])
        total = seconds.sum(0)
        share = np.array(list(SHARES.values())) * (total > 0)
        self.weight = seconds * (share / np.maximum(total, 1e-9))[None]    # [bucket][source]
        self.weight /= self.weight.sum()
        self.hours = total.sum() / 3600
        self.silence = SHARES['silence']

    def pick(self, rng, b, rows):
        """Rows of clips of bucket b (or the nearest one that has any), by the shares of their sources."""
        while self.weight[b].sum() == 0:
            b = b - 1 if b > 0 else int(np.flatnonzero(self.weight.sum(1))[0])
        kinds = rng.choice(len(self.weight[b]), rows, p=self.weight[b] / self.weight[b].sum())
        out = np.empty(rows, np.int64)
        for k in np.unique(kinds):
            where = np.flatnonzero(kinds == k)
            out[where] = rng.choice(self.lists[b][k], len(where))
        return out

    def bucket(self, x):
        """The bucket at x of [0, 1) of all seconds."""
        return min(int(np.searchsorted(self.weight.sum(1).cumsum(), x, 'right')), len(EDGES_S) - 1)

    def batch(self, rng, b, batch_s):
        """Arrays that tell the kernel what to gather from bucket b, and the labels."""
        L = int(EDGES_S[b] * ROOM * RATE) // 1280 * 1280
        rows = max(4, int(batch_s * RATE / L))
        first, second = self.pick(rng, b, rows), np.full(rows, -1, np.int64)
        if EDGES_S[b] > 3.5:                                              # two clips in a row, sometimes
            pair = rng.random(rows) < .3
            edges, n = np.array(EDGES_S), int(pair.sum())
            a = int(np.searchsorted(edges, EDGES_S[b] * rng.uniform(.3, .65), 'right')) - 1
            c = int(np.searchsorted(edges, (EDGES_S[b] - edges[a]) * .97, 'right')) - 1
            if n and a >= 0 and c >= 0:
                first[pair], second[pair] = self.pick(rng, a, n), self.pick(rng, c, n)
        silent = rng.random(rows) < self.silence
        first[silent], second[silent] = -1, -1
        clip = np.stack([first, second], 1)
        length = np.where(clip >= 0, self.length[clip], 0)
        speed = np.clip(rng.normal(1, .09, (rows, 1)), .8, 1.25) * np.ones((1, 2))
        speed = np.where(rng.random((rows, 1)) < .15, 1, speed)
        speed = np.maximum(speed, length.sum(1, keepdims=True) / (L - 1600.))
        taken = (length / speed).astype(np.int64)
        spare = L - taken.sum(1)
        head = (np.minimum(spare, RATE * .8) * rng.random(rows) ** 2).astype(np.int64)
        gap = (np.minimum(spare - head, RATE * .7) * rng.random(rows)).astype(np.int64) * (second >= 0)
        tail = (np.minimum(spare - head - gap, RATE * .6) * rng.random(rows)).astype(np.int64)
        start = np.stack([head, head + taken[:, 0] + gap], 1)
        total = np.where(silent, rng.integers(RATE // 2, L, rows), start[:, 1] + taken[:, 1] + tail)
        total = np.clip(total, 4000, L)
        n_tokens = np.where(clip >= 0, self.n_tokens[clip], 0)
        U = n_tokens.sum(1)
        labels = np.zeros((rows, (max(1, U.max()) + 15) // 16 * 16), np.int64)     # few shapes
        for s in range(2):
            width = int(n_tokens[:, s].max())
            if width == 0:
                continue
            j = np.arange(width)[None]
            r, c = np.nonzero(j < n_tokens[:, s:s + 1])
            labels[r, c + (n_tokens[r, 0] if s else 0)] = self.tokens[self.token_start[clip[r, s]] + c]
        return dict(offset=np.where(clip >= 0, self.offset[clip], 8), length=length.astype(np.int32), start=start.astype(np.int32), speed=speed,
                    total=total, labels=labels, U=U.astype(np.int32), L=L, silent=silent)


class Feeder(threading.Thread):
    """Draws batches ahead of their use, and looks for new shards now and then."""

    def __init__(self, pool, batch_s, seed, rank=0, ahead=6):
        super().__init__(daemon=True)
        self.pool, self.batch_s, self.rng = pool, batch_s, np.random.default_rng(seed + 1000 * rank)
        self.common = np.random.default_rng(seed)                      # every process takes a batch of the same length
        self.ready, self.room = [], threading.Semaphore(ahead)
        self.some = threading.Semaphore(0)
        self.stop = False

    def run(self):
        first = list(range(len(EDGES_S)))                                # each length once, the longest first
        while not self.stop:
            self.room.acquire()
            index = self.pool.index
            b = index.batch(self.rng, first.pop() if first else index.bucket(self.common.random()), self.batch_s)
            self.ready.append({k: torch.from_numpy(v) if isinstance(v, np.ndarray) else v for k, v in b.items()})
            self.some.release()

    def next(self):
        self.some.acquire()
        b = self.ready.pop(0)
        self.room.release()
        return b


class Scanner(threading.Thread):
    def __init__(self, pool):
        super().__init__(daemon=True)
        self.pool = pool

    def run(self):
        while not self.pool.full:
            self.pool.scan(40)
            time.sleep(4)


def gather(pool, b):
    device = pool.device
    move = lambda x: (x.pin_memory() if device.type == 'cuda' else x).to(device, non_blocking=True)
    b = {k: move(v) if torch.is_tensor(v) else v for k, v in b.items()}
    w = torch.zeros(len(b['total']), b['L'], device=device)
    launch('gather', len(w), 512, [pool.wave, b['offset'], b['length'], b['start'], b['speed'], w], b['L'])
    return w, b


# -- features ---------------------------------------------------------------------------------------------------------

def mel_edges():
    step = math.log(6.4) / 27
    top = 15 + math.log(8.) / step
    return np.array([m * 200 / 3 if m < 15 else 1000 * math.exp(step * (m - 15)) for m in np.linspace(0, top, 130)])


_edges = {}


def mel_bank(warp, device):
    """[rows][128][257]: the Slaney bank as a vocal tract `warp` times as long would be heard through it."""
    if device not in _edges:
        _edges[device] = torch.tensor(mel_edges(), dtype=torch.float32, device=device)
    p = _edges[device]
    f = torch.arange(257, device=device) * 31.25
    knee = 4800. / warp.clamp(min=1)[:, None]
    w = warp[:, None]
    f = torch.where(f <= knee, f * w, w * knee + (8000 - w * knee) / (8000 - knee) * (f - knee))[:, None]
    lower, middle, upper = p[:-2, None], p[1:-1, None], p[2:, None]
    return torch.minimum((f - lower) / (middle - lower), (upper - f) / (upper - middle)).clamp(min=0) * (2 / (upper - lower))


def features(w, n, warp=None, running_chunk=None):
    """Log mel [B][T][128], normalised over each row's valid frames, or as a stream would that knows the past and its chunk."""
    device = w.device
    y = torch.cat([w[:, :1], w[:, 1:] - .97 * w[:, :-1]], 1)
    y = y * (torch.arange(y.shape[1], device=device)[None] < n[:, None])
    window = torch.hann_window(400, periodic=False, device=device)
    spectrum = torch.stft(y, 512, 160, 400, window, center=True, pad_mode='constant', return_complex=True)
    power = spectrum.real.square() + spectrum.imag.square()
    bank = mel_bank(torch.ones(1, device=device) if warp is None else warp, device)
    T = n // 160
    x = torch.log(bank @ power + 2 ** -24)[:, :, :w.shape[1] // 160]
    keep = (torch.arange(x.shape[2], device=device)[None] < T[:, None])[:, None].float()
    if running_chunk is None:
        mean = (x * keep).sum(2, keepdim=True) / T[:, None, None]
        deviation = (((x - mean) * keep).square().sum(2, keepdim=True) / (T[:, None, None] - 1)).sqrt()
        x = (x - mean) / (deviation + 1e-5)
    else:
        frame = torch.arange(x.shape[2], device=device)
        seen = ((frame // running_chunk + 1) * running_chunk).clamp(max=x.shape[2]) - 1
        count = keep.cumsum(2)[:, :, seen].clamp(min=1)
        mean = (x * keep).cumsum(2)[:, :, seen] / count
        spread = ((x * keep).square().cumsum(2)[:, :, seen] / count - mean.square()).clamp(min=0)
        x = (x - mean) / (((spread * count + 9 * 50) / (count + 50)).sqrt() + 1e-5)
    return (x * keep).transpose(1, 2).contiguous(), T


def mask(x, T):
    """SpecAugment: two bands of mels, and stretches of time of at most 5 % each."""
    B, frames, mels = x.shape
    device = x.device
    f, t = torch.arange(mels, device=device)[None], torch.arange(frames, device=device)[None]
    drop_f, drop_t = torch.zeros(B, mels, dtype=torch.bool, device=device), torch.zeros(B, frames, dtype=torch.bool, device=device)
    for _ in range(2):
        wide = torch.rand(B, 1, device=device) * 27
        at = torch.rand(B, 1, device=device) * (mels - wide)
        drop_f |= (f >= at) & (f < at + wide)
    for _ in range(8):
        on = torch.rand(B, 1, device=device) < .7
        wide = torch.rand(B, 1, device=device) * (.05 * T[:, None]).clamp(max=30)
        at = torch.rand(B, 1, device=device) * (T[:, None] - wide)
        drop_t |= (t >= at) & (t < at + wide) & on
    return x.masked_fill(drop_f[:, None] | drop_t[:, :, None], 0)


# -- augmentation of the wave -------------------------------------------------------------------------------------------

def fast_length(n):
    step = 1 << max(0, n.bit_length() - 4)
    return (n + step - 1) // step * step


def music(rows, L, device):
    """Chords of decaying harmonics: what is heard but not spoken."""
    note = RATE // 4
    count = L // note + 1
    pitch = 110 * 2 ** (torch.randint(0, 36, (rows, count, 3), device=device) / 12)
    hold = torch.rand(rows, count, 1, device=device) < .3
    pitch = torch.where(hold, pitch[:, :1], pitch)
    t = torch.arange(note, device=device) / RATE
    sound = sum((2 * math.pi * k * pitch[..., None] * t).sin().sum(2) / k for k in (1, 2, 3))
    return (sound * torch.exp(-t * 4)).flatten(1)[:, :L]


def coded(w, peak, bits):
    """As a codec with logarithmic steps leaves it: 8 bits are a telephone exchange's, fewer the noise of a mobile's."""
    steps = 2 ** (bits - 1)
    x = w / peak
    y = (x.abs() * 255).log1p() / math.log(256)
    return x.sign() * (((y * steps).round() / steps * math.log(256)).expm1() / 255) * peak


def augment(w, n, silent):
    """Equaliser, telephone band, reverberation, codec, then noise, babble or music, clipping, level."""
    B, L = w.shape
    device = w.device
    rand = lambda *s: torch.rand(*s, device=device)
    N = fast_length(L + 4000)
    S = torch.fft.rfft(w, N)
    K = S.shape[1]
    f = torch.linspace(0, 8000, K, device=device)[None]
    curve = torch.randn(B, 12, device=device) * 4 * (rand(B, 1) < .6)
    gain = 10 ** (F.interpolate(curve[:, None], K, mode='linear', align_corners=True)[:, 0] / 20)
    top = (3000 + 4500 * rand(B, 1)).masked_fill(rand(B, 1) < .8, 9e3)
    telephone = rand(B, 1) < .15
    top, bottom = top.masked_fill(telephone, 3500.), 20. + 260 * telephone
    gain = gain * torch.sigmoid((top - f) / 120) * torch.sigmoid((f - bottom) / 30)
    t = torch.arange(4000, device=device)[None]
    echo = torch.randn(B, 4000, device=device) * torch.exp(-t / (150 + 1000 * rand(B, 1))) * rand(B, 1) * .22
    echo = echo * (rand(B, 1) < .4)
    echo[:, 0] = 1
    clean = torch.fft.irfft(S * gain * torch.fft.rfft(echo, N), N)[:, :L]
    narrow = (rand(B, 1) < torch.where(telephone, .6, .05)) & ~silent[:, None]
    loudest = clean.abs().amax(1, keepdim=True) * (1 + 3 * rand(B, 1)) + 1e-6
    clean = torch.where(narrow, coded(clean, loudest, 6 + 2 * rand(B, 1)), clean)
    power = (clean.square().sum(1, keepdim=True) / n[:, None]).sqrt()
    level = torch.where(silent[:, None], .03 * rand(B, 1) ** 2, power + 1e-6)

    colour = rand(B, 1) * 1.4
    noise = torch.fft.rfft(torch.randn(B, L, device=device), N)
    noise = torch.fft.irfft(noise * torch.linspace(1e-3, 1, K, device=device)[None] ** (-colour / 2), N)[:, :L]
    kind = rand(B, 1)
    others = sum(clean.roll(k + 1, 0) / (power.roll(k + 1, 0) + 1e-6) for k in range(3))
    some = max(1, B // 16)                                    # music is dear: for a sixteenth of the rows
    which = torch.randperm(B, device=device)[:some]
    noise = noise / (noise.square().mean(1, keepdim=True).sqrt() + 1e-9)
    noise = torch.where((kind < .12) & ~silent[:, None], others / (others.square().mean(1, keepdim=True).sqrt() + 1e-9), noise)
    played = music(some, L, device)
    noise[which] = played / (played.square().mean(1, keepdim=True).sqrt() + 1e-9)
    snr = torch.where(kind < .12, 8 + 25 * rand(B, 1), 4 + 36 * rand(B, 1))
    on = rand(B, 1) < .72
    w = clean + on * level * noise * 10 ** (-snr.masked_fill(silent[:, None], 0.) / 20)
    peak = w.abs().amax(1, keepdim=True) + 1e-9
    limit = (.1 + .5 * rand(B, 1)).masked_fill(rand(B, 1) < .94, 1.)
    w = (w / peak).clamp(-limit, limit) * peak.masked_fill(~silent[:, None], 1.)
    w = w * (10 ** (-1.6 * rand(B, 1))).masked_fill(silent[:, None], 1.)
    return w * (torch.arange(L, device=device)[None] < n[:, None])
