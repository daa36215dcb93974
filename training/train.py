"""Train the model for a given time.

usage: train.py WORK_DIR --seconds S [--batch-s B] [...]
       WORK_DIR has text.tsv, real.tsv, tokenizer.model, shards/ (synth.py and real.py write there, also while this runs)
       and gets log.txt, checkpoint.pt (the model in float16, once a minute), final.pt (the model) and moments.pt (the optimizer's).

The schedule follows the clock: warm-up, then a cosine to zero at the end of S seconds.  A file WORK_DIR/end, if it appears,
holds the wall-clock time at which to be done, in place of --seconds.

Several GPUs: one process each, with RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT set.  A step of the model is recorded as a
CUDA graph for each shape of batch and replayed; --eager does without.
"""
import argparse, json, math, os, sys, time, traceback
import numpy as np
import sentencepiece
import torch
import torch.distributed as dist
import data
from model import MATRICES, Config, Model, context, subsampled


def parse():
    p = argparse.ArgumentParser()
    p.add_argument('work')
    p.add_argument('--seconds', type=float, required=True)
    p.add_argument('--batch-s', type=float, default=900, help='seconds of audio a step and GPU')
    p.add_argument('--lr', type=float, default=2e-3)
    p.add_argument('--warmup', type=int, default=800)
    p.add_argument('--weight-decay', type=float, default=2e-2)
    p.add_argument('--width', type=int, default=192)
    p.add_argument('--layers', type=int, default=9)
    p.add_argument('--heads', type=int, default=6)
    p.add_argument('--channels', type=int, default=128)
    p.add_argument('--pool-h', type=float, default=180)
    p.add_argument('--wait-h', type=float, default=.3)
    p.add_argument('--seed', type=int, default=7)
    p.add_argument('--eager', action='store_true')
    p.add_argument('--init', help='a model to start from: a checkpoint, or what dequantise.py made of a shipped one')
    p.add_argument('--no-warmup', action='store_true')
    return p.parse_args()


def words_wrong(reference, hypothesis):
    a, b = reference.split(), hypothesis.split()
    row = list(range(len(b) + 1))
    for i in range(1, len(a) + 1):
        last, row[0] = row[0], i
        for j in range(1, len(b) + 1):
            last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (a[i - 1] != b[j - 1]))
    return row[-1], len(a)


def judge(model, pool, tokenizer, rows, chunk=None, left=None):
    """WER over held-out training clips."""
    model.eval()
    wrong = total = 0
    for i in range(0, len(rows), 24):
        part = rows[i:i + 24]
        n = torch.tensor([r[1] for r in part], device=pool.device)
        w = torch.zeros(len(part), int(n.max()) // 1280 * 1280 + 1280, device=pool.device)
        for k, r in enumerate(part):
            w[k, :r[1]] = pool.wave[r[0]:r[0] + r[1]].float() / 32768
        mel, T = data.features(w, n)
        for ids, r in zip(model.greedy(mel, T, chunk=chunk, left=left), part):
            e, m = words_wrong(tokenizer.decode(r[3]), tokenizer.decode(ids))
            wrong, total = wrong + e, total + m
    model.train()
    return wrong / max(1, total)


class Parameters:
    """The model's parameters in one piece, those that decay first, with their gradients and AdamW's moments.

    The model sees `shown`: the same, but for matrices rounded as an int8 file would, a scale a row; the steps are taken on `value`, so that
    what is learnt is learnt with the rounding.  The gradient has one more element: the learning rate, which the first process alone
    sets, so that all take the same step."""

    def __init__(self, model, device, weight_decay):
        inputs = lambda n, p: p[0].numel() if p.dim() > 1 and MATRICES.search(n) else 0
        named = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
        named = sorted(named, key=lambda x: (-inputs(*x), x[1].dim() <= 1))
        padded = lambda n: (n + 63) // 64 * 64                       # every one begins at a multiple of 256 bytes
        size = sum(padded(p.numel()) for _, p in named)
        self.decayed = sum(padded(p.numel()) for _, p in named if p.dim() > 1)
        self.value, self.grad = torch.zeros(size, device=device), torch.zeros(size + 1, device=device)
        self.m, self.v, self.shown = (torch.zeros(size, device=device) for _ in range(3))
        self.weight_decay, self.step_count, at, ends = weight_decay, 0, 0, {}
        for n, p in named:
            self.value[at:at + p.numel()].view_as(p).copy_(p.data)
            p.data, p.grad = self.shown[at:at + p.numel()].view_as(p), self.grad[at:at + p.numel()].view_as(p)
            at += padded(p.numel())
            if inputs(n, p):
                assert p.numel() % 64 == 0, n                          # rows of matrices of a width lie end to end
                ends[inputs(n, p)] = at
        begins = [0, *ends.values()]
        self.rows = [(slice(begin, end), k) for begin, (k, end) in zip(begins, ends.items())]
        self.show()

    @torch.no_grad()
    def show(self):
        self.shown.copy_(self.value)
        for part, k in self.rows:
            x = self.shown[part].view(-1, k)
            scale = (x.abs().amax(1, keepdim=True) / 127).clamp_(min=1e-12)
            x.div_(scale).round_().mul_(scale)

    @torch.no_grad()
    def step(self, world):
        """One step of AdamW with the gradient clipped to norm 1; its norm before."""
        self.step_count += 1
        lr, g = self.grad[-1].clone(), self.grad[:-1]
        if world > 1:
            g /= world
        norm = g.norm()
        g *= (1 / (norm + 1e-6)).clamp(max=1).masked_fill(~norm.isfinite(), 0.)
        g.nan_to_num_(0, 0, 0)
        self.m.lerp_(g, .1)
        self.v.mul_(.98).addcmul_(g, g, value=.02)
        update = (self.v / (1 - .98 ** self.step_count)).sqrt_().add_(1e-8).reciprocal_().mul_(self.m).mul_(lr / (1 - .9 ** self.step_count))
        self.value[:self.decayed] *= 1 - lr * self.weight_decay
        self.value -= update
        self.show()
        return norm


def load(model, path):
    """Values for the model; True where the file has no CTC head, as a shipped model has none."""
    if path.endswith('.npz'):
        own = model.state_dict()
        state = {k: torch.from_numpy(v).view(own[k].shape) for k, v in np.load(path).items() if not k.startswith('preprocessor.')}
    else:
        state = {k: v.float() if v.is_floating_point() else v for k, v in torch.load(path, map_location='cpu').items()}
    result = model.load_state_dict(state, strict=False)
    missing = [k for k in result.missing_keys if not k.endswith('num_batches_tracked')]
    assert not result.unexpected_keys and all(k.startswith('ctc.') for k in missing), result
    return bool(missing)


class Stepper:
    """Loss and gradients of a batch, by a graph recorded for its shape, or eagerly."""

    STATS = 'tdt ctc tokens penalty bad top'.split()

    def __init__(self, model, parameters, device, graphs, log, lock):
        self.model, self.parameters, self.device, self.log, self.lock = model, parameters, device, log, lock
        self.graphs = {} if graphs and device.type == 'cuda' else None
        self.pool, self.warm = None, 0
        self.mel = None

    def compute(self, inputs):
        self.parameters.grad.zero_()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == 'cuda'):
            tdt, ctc, penalty, tops = self.model.losses(**inputs)
        ok = tdt.isfinite() & (tdt < 1e6)
        tokens = (inputs['U'] * ok).sum() + 1
        tdt, ctc = tdt.masked_fill(~ok, 0.).sum(), ctc.masked_fill(~ok, 0.).sum()
        ((tdt + .3 * ctc) / tokens + .02 * penalty).backward()
        return torch.stack([tdt.detach(), ctc.detach(), tokens.float(), penalty.detach().float(), (~ok).sum().float(), tops.max()])

    def record(self, inputs):
        static = {k: v.clone() for k, v in inputs.items() if k != 'mel'}
        if self.mel is None:
            self.mel = torch.zeros(int(inputs['mel'].numel() * 1.3), device=self.device)
        static['mel'] = self.mel[:inputs['mel'].numel()].view_as(inputs['mel'])
        static['mel'].copy_(inputs['mel'])
        graph = torch.cuda.CUDAGraph()
        with self.lock:
            torch.cuda.synchronize()
            torch.cuda.empty_cache()
            with torch.cuda.graph(graph, pool=self.pool, stream=torch.cuda.current_stream(), capture_error_mode='thread_local'):
                stats = self.compute(static)
        self.pool = self.pool or graph.pool()
        return graph, static, stats

    def __call__(self, **inputs):
        key = (*inputs['mel'].shape, inputs['labels'].shape[1])
        if self.graphs is None or self.warm < 3:
            self.warm += 1
            return self.compute(inputs)
        if key not in self.graphs:
            begin = time.time()
            try:
                self.graphs[key] = self.record(inputs)
            except torch.OutOfMemoryError as e:
                self.log('no room to record', key, str(e)[:200])
                self.graphs[key] = None
            except Exception as e:
                self.log('recording failed, going on without:', traceback.format_exc()[-1500:])
                self.graphs = None
                torch.cuda.synchronize()
                return self.compute(inputs)
            self.log('recorded %s in %.2f s, %d in all, %.1f GiB' % (key, time.time() - begin, len(self.graphs), torch.cuda.memory_reserved() / 2 ** 30))
        if self.graphs[key] is None:                                 # skipped
            self.parameters.grad.zero_()
            return torch.zeros(len(self.STATS), device=self.device)
        graph, static, stats = self.graphs[key]
        for k, v in inputs.items():
            static[k].copy_(v)
        graph.replay()
        return stats


def average_statistics(model, world):
    """Of the batch norm, over the processes."""
    if world > 1:
        for name, b in model.named_buffers():
            if b.is_floating_point():
                dist.all_reduce(b)
                b /= world


def save(what, path):
    torch.save(what, path + '.part')
    os.rename(path + '.part', path)


def main():
    args = parse()
    rank, world = int(os.environ.get('RANK', 0)), int(os.environ.get('WORLD_SIZE', 1))
    torch.manual_seed(args.seed)
    device = torch.device('cuda', 0) if torch.cuda.is_available() else torch.device('cpu')          # a process sees one GPU
    if device.type == 'cuda':
        torch.cuda.set_device(device)
        torch.cuda.set_stream(torch.cuda.Stream())             # graphs are recorded on it, and the default one cannot
    if world > 1:
        dist.init_process_group('nccl' if device.type == 'cuda' else 'gloo', device_id=device if device.type == 'cuda' else None)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    sys.setswitchinterval(5e-4)                    # the threads that prepare batches must not hold this one up
    begin = time.time()
    log_file = open(os.path.join(args.work, 'log.txt' if rank == 0 else 'log%d.txt' % rank), 'a', buffering=1)

    def log(*words):
        line = ' '.join(str(w) for w in words)
        print(line, flush=True)
        log_file.write(line + '\n')

    tokenizer = sentencepiece.SentencePieceProcessor(model_file=os.path.join(args.work, 'tokenizer.model'))
    real = os.path.join(args.work, 'real.tsv')
    hold = [i for i in range(sum(1 for _ in open(real)) - 1) if i % 50 == 7]      # 2 % of the real clips, to watch
    pool = data.Pool(os.path.join(args.work, 'shards'), os.path.join(args.work, 'text.tsv'), real, tokenizer.encode,
                     int(args.pool_h * 3600 * data.RATE), device, hold, rank, world)
    model = Model(Config(width=args.width, layers=args.layers, heads=args.heads, channels=args.channels)).to(device)
    new_ctc = bool(args.init) and load(model, args.init)
    log('parameters %.3f M, of which shipped %.3f M' % (sum(p.numel() for p in model.parameters()) / 1e6,
        sum(p.numel() for n, p in model.named_parameters() if not n.startswith('ctc.')) / 1e6))
    parameters = Parameters(model, device, args.weight_decay)
    if world > 1:
        dist.broadcast(parameters.value, 0)
        parameters.show()
    while not (pool.scan() and pool.index.hours >= args.wait_h):
        time.sleep(.5)
    torch.manual_seed(args.seed + 1000 * rank)
    data.Scanner(pool).start()
    feeder = data.Feeder(pool, args.batch_s, args.seed, rank)
    feeder.start()
    stepper = Stepper(model, parameters, device, not args.eager, log, pool.lock)
    log('start after %.1f s with %.2f h' % (time.time() - begin, pool.index.hours))
    start, step, audio = time.time(), 0, 0.
    end_file, stop_file = os.path.join(args.work, 'end'), os.path.join(args.work, 'stop')
    end, stop = start + args.seconds, None
    rng = np.random.default_rng(args.seed + 1)                       # alike in all processes
    keep, count = torch.zeros(len(Stepper.STATS) + 1, device=device), 0
    saved = judged = time.time()
    marks = []
    momentum, ctc_share = torch.zeros(1, device=device), torch.zeros(1, device=device)
    while True:
        now = time.time()
        if step % 50 == 0 and os.path.exists(end_file):
            end = float(open(end_file).read())
        done = min(1., (now - start) / (end - start))
        if done >= 1 and rank == 0 and stop is None:
            stop = step + 8
            open(stop_file + '.part', 'w').write(str(stop))
            os.rename(stop_file + '.part', stop_file)
        if stop is None and rank > 0 and os.path.exists(stop_file):
            stop = int(open(stop_file).read())
        if stop is not None and step >= stop:
            break
        lr = args.lr * (1. if args.no_warmup else min(1, (step + 1) / args.warmup)) * .5 * (1 + math.cos(math.pi * done))
        chunk = left = running = None
        if rng.random() < .45:                                       # as a stream with limited context would hear it
            chunk, left = int(rng.choice([2, 3, 4, 6, 8, 12, 16, 20, 25])), int(rng.integers(10, 71))
            running = 8 * chunk if rng.random() < .5 else None
        with torch.no_grad():
            w, b = data.gather(pool, feeder.next())
            w = data.augment(w, b['total'], b['silent'])
            warp = (.86 + .30 * torch.rand(len(w), device=device)).masked_fill(torch.rand(len(w), device=device) < .3, 1.)
            mel, T = data.features(w, b['total'], warp, running)
            mel = data.mask(mel, T)
            del w
            momentum.fill_(.05 if done < .7 else .01)
            ctc_share.fill_(min(1, max(0, (step - 300) / 500)) if new_ctc else 1)
        stats = stepper(mel=mel, n=T.int(), labels=b['labels'], U=b['U'], momentum=momentum, ctc_share=ctc_share,
                        chunk=torch.full((1,), chunk or 1 << 20, dtype=torch.int32, device=device),
                        allowed=context(subsampled(mel.shape[1]), device, chunk, left))
        if rank == 0:
            parameters.grad[-1] = lr
        if world > 1:
            dist.all_reduce(parameters.grad)
        norm = parameters.step(world)
        step += 1
        count += 1
        audio += b['L'] / data.RATE * len(b['U']) * world
        keep[:-1] += stats
        keep[-1] += norm
        if device.type == 'cuda':                                    # run no more than two steps ahead of the device
            marks.append(torch.cuda.Event())
            marks[-1].record()
            if len(marks) > 2:
                marks.pop(0).synchronize()
        if step % 100 == 0 or step <= 3:
            k = dict(zip(Stepper.STATS + ['norm'], keep.tolist()))
            log('step %d t %.0f tdt %.3f ctc %.3f penalty %.4f norm %.2f bad %d top %.1f lr %.2e audio %.0f h pool %.1f h %.0fx mem %.1f' % (
                step, time.time() - start, k['tdt'] / k['tokens'], k['ctc'] / k['tokens'], k['penalty'] / count, k['norm'] / count,
                k['bad'], k['top'] / count, lr, audio / 3600, pool.index.hours, audio / (time.time() - start),
                torch.cuda.memory_reserved() / 2 ** 30 if device.type == 'cuda' else 0))
            keep.zero_()
            count = 0
            average_statistics(model, world)
        if rank == 0 and time.time() - saved > 60 and end - time.time() > 20:
            saved = time.time()
            save({k: v.half().cpu() if v.is_floating_point() else v.cpu() for k, v in model.state_dict().items()}, os.path.join(args.work, 'checkpoint.pt'))
            if time.time() - judged > 150 and pool.held and end - time.time() > 40:
                log('EVAL step %d held-out real WER %.3f, chunks of 8 %.3f, %.1f s' % (step, judge(model, pool, tokenizer, pool.held),
                                                                   judge(model, pool, tokenizer, pool.held, 8, 40), time.time() - saved))
                judged = time.time()
    average_statistics(model, world)
    if rank == 0:
        save({k: v.float().cpu() if v.is_floating_point() else v.cpu() for k, v in model.state_dict().items()}, os.path.join(args.work, 'final.pt'))
        save(dict(v=parameters.v.bfloat16().cpu(), step=step), os.path.join(args.work, 'moments.pt'))
        json.dump(dict(config=vars(args), world=world, step=step, audio_h=audio / 3600, pool_h=pool.index.hours), open(os.path.join(args.work, 'run.json'), 'w'))
        log('done step %d audio %.0f h, %d tokens known' % (step, audio / 3600, tokenizer.get_piece_size()))
        if pool.held:
            log('EVAL final held-out real WER %.3f, chunks of 8 %.3f' % (judge(model, pool, tokenizer, pool.held), judge(model, pool, tokenizer, pool.held, 8, 40)))
        open(os.path.join(args.work, 'finished'), 'w').write('1')
    os._exit(0)                                                      # the threads and NCCL have nothing to finish


if __name__ == '__main__':
    main()
