"""Train the model for a given time.

usage: train.py WORK_DIR --seconds S [--batch-s B] [...]
       WORK_DIR has text.tsv, real.tsv, tokenizer.model, shards/ (synth.py and real.py write there, also while this runs)
       and gets log.txt, checkpoint.pt (model and optimizer, now and then) and final.pt (state of the model).

The schedule follows the clock: warm-up, then a cosine to zero at the end of S seconds.  A file WORK_DIR/end, if it appears,
holds the wall-clock time at which to be done, in place of --seconds.
"""
import argparse, json, math, os, sys, time
import numpy as np
import sentencepiece
import torch
import torch.nn as nn
import data
from model import Config, Model


def parse():
    p = argparse.ArgumentParser()
    p.add_argument('work')
    p.add_argument('--seconds', type=float, required=True)
    p.add_argument('--batch-s', type=float, default=1200)
    p.add_argument('--lr', type=float, default=2e-3)
    p.add_argument('--warmup', type=int, default=800)
    p.add_argument('--weight-decay', type=float, default=2e-2)
    p.add_argument('--width', type=int, default=192)
    p.add_argument('--layers', type=int, default=9)
    p.add_argument('--heads', type=int, default=6)
    p.add_argument('--channels', type=int, default=128)
    p.add_argument('--pool-h', type=float, default=300)
    p.add_argument('--wait-h', type=float, default=.3)
    p.add_argument('--seed', type=int, default=7)
    p.add_argument('--profile-steps', type=int, default=0)
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
    for i in range(0, len(rows), 64):
        part = rows[i:i + 64]
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


def main():
    args = parse()
    torch.manual_seed(args.seed)
    device = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    sys.setswitchinterval(5e-4)                    # the threads that prepare batches must not hold this one up
    begin = time.time()
    log_file = open(os.path.join(args.work, 'log.txt'), 'a', buffering=1)

    def log(*words):
        line = ' '.join(str(w) for w in words)
        print(line, flush=True)
        log_file.write(line + '\n')

    tokenizer = sentencepiece.SentencePieceProcessor(model_file=os.path.join(args.work, 'tokenizer.model'))
    real = os.path.join(args.work, 'real.tsv')
    hold = [i for i in range(sum(1 for _ in open(real)) - 1) if i % 50 == 7]      # 2 % of the real clips, to watch
    pool = data.Pool(os.path.join(args.work, 'shards'), os.path.join(args.work, 'text.tsv'), real, tokenizer.encode,
                     int(args.pool_h * 3600 * data.RATE), device, hold)
    config = Config(width=args.width, layers=args.layers, heads=args.heads, channels=args.channels)
    model = Model(config).to(device)
    log('parameters %.3f M, of which shipped %.3f M' % (sum(p.numel() for p in model.parameters()) / 1e6,
        sum(p.numel() for n, p in model.named_parameters() if not n.startswith('ctc.')) / 1e6))
    decay = [p for n, p in model.named_parameters() if p.dim() > 1]
    plain = [p for n, p in model.named_parameters() if p.dim() <= 1]
    optimizer = torch.optim.AdamW([dict(params=decay, weight_decay=args.weight_decay), dict(params=plain, weight_decay=0.)],
                                  lr=args.lr, betas=(.9, .98), fused=device.type == 'cuda')
    while not (pool.scan() and pool.index.hours >= args.wait_h):
        time.sleep(.5)
    data.Scanner(pool).start()
    feeder = data.Feeder(pool, args.batch_s, args.seed)
    feeder.start()
    log('start after %.1f s with %.2f h' % (time.time() - begin, pool.index.hours))
    start, step, audio, shown = time.time(), 0, 0., time.time()
    end_file = os.path.join(args.work, 'end')
    end = start + args.seconds
    rng = np.random.default_rng(args.seed + 1)
    keep = dict(tdt=0., ctc=0., tokens=0., penalty=0., norm=0., bad=0.)
    saved = time.time()
    profiler = None
    while True:
        now = time.time()
        if step % 50 == 0 and os.path.exists(end_file):
            end = float(open(end_file).read())
        done = (now - start) / (end - start)
        if done >= 1:
            break
        lr = args.lr * min(1, (step + 1) / args.warmup) * .5 * (1 + math.cos(math.pi * done))
        for group in optimizer.param_groups:
            group['lr'] = lr
        chunk = left = running = None
        if rng.random() < .45:                                       # as a stream with limited context would hear it
            chunk, left = int(rng.choice([2, 3, 4, 6, 8, 12, 16, 20, 25])), int(rng.integers(10, 71))
            running = 8 * chunk if rng.random() < .5 else None
        with torch.no_grad():
            w, b = data.gather(pool, feeder.next())
            w = data.augment(w, b['total'], b['silent'])
            warp = torch.where(torch.rand(len(w), device=device) < .7, .86 + .30 * torch.rand(len(w), device=device), 1.)
            mel, T = data.features(w, b['total'], warp, running)
            mel = data.mask(mel, T)
            del w
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == 'cuda'):
            tdt, ctc, penalty, tops = model.losses(mel, T, b['labels'], b['U'], b['host_total'] // 160, b['host_U'], chunk, left, .05 if done < .7 else .02)
        ok = tdt.isfinite() & (tdt < 1e6)
        tokens = (b['U'] * ok).sum() + 1
        tdt, ctc = torch.where(ok, tdt, 0.).sum() / tokens, torch.where(ok, ctc, 0.).sum() / tokens
        (tdt + .3 * ctc + .02 * penalty).backward()
        norm = nn.utils.clip_grad_norm_(model.parameters(), 1., foreach=True)
        if device.type == 'cuda':
            optimizer.grad_scale, optimizer.found_inf = None, (~norm.isfinite()).float()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        step += 1
        audio += b['L'] / data.RATE * len(b['U'])
        with torch.no_grad():
            for k, v in dict(tdt=tdt.detach() * tokens, ctc=ctc.detach() * tokens, tokens=tokens, penalty=penalty.detach(), norm=norm, bad=(~ok).sum()).items():
                keep[k] = keep[k] + v
        if step % 100 == 0 or step <= 3:
            k = {a: float(x) for a, x in keep.items()}
            log('step %d t %.0f tdt %.3f ctc %.3f penalty %.4f norm %.2f bad %d top %.1f lr %.2e audio %.0f h pool %.1f h %.0fx mem %.1f' % (
                step, time.time() - start, k['tdt'] / k['tokens'], k['ctc'] / k['tokens'], k['penalty'] / (step % 100 or 100), k['norm'] / (step % 100 or 100),
                k['bad'], float(tops.max()), lr, audio / 3600, pool.index.hours, audio / (time.time() - start),
                torch.cuda.max_memory_allocated() / 2 ** 30 if device.type == 'cuda' else 0))
            keep = {a: 0. for a in keep}
        if args.profile_steps and step == 150:
            profiler = torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA])
            profiler.__enter__()
        if profiler and step == 150 + args.profile_steps:
            torch.cuda.synchronize()
            profiler.__exit__(None, None, None)
            log(profiler.key_averages().table(sort_by='cuda_time_total', row_limit=45, max_name_column_width=60))
            log(profiler.key_averages().table(sort_by='self_cpu_time_total', row_limit=15, max_name_column_width=60))
            profiler = None
        if time.time() - saved > 150 and end - time.time() > 60:
            saved = time.time()
            path = os.path.join(args.work, 'checkpoint.pt')
            torch.save(dict(model=model.state_dict(), optimizer=optimizer.state_dict(), step=step), path + '.part')
            os.rename(path + '.part', path)
            log('EVAL step %d held-out real WER %.3f, chunks of 8 %.3f, %.1f s' % (step, judge(model, pool, tokenizer, pool.held),
                                                               judge(model, pool, tokenizer, pool.held, 8, 40), time.time() - saved))
    state = model.state_dict()
    torch.save({k: v.float().cpu() if v.is_floating_point() else v.cpu() for k, v in state.items()}, os.path.join(args.work, 'final.part'))
    os.rename(os.path.join(args.work, 'final.part'), os.path.join(args.work, 'final.pt'))
    torch.save(dict(optimizer=optimizer.state_dict(), step=step), os.path.join(args.work, 'optimizer.part'))
    os.rename(os.path.join(args.work, 'optimizer.part'), os.path.join(args.work, 'optimizer.pt'))
    json.dump(dict(config=vars(args), step=step, audio_h=audio / 3600, pool_h=pool.index.hours), open(os.path.join(args.work, 'run.json'), 'w'))
    log('done step %d audio %.0f h' % (step, audio / 3600))
    log('EVAL final held-out real WER %.3f, chunks of 8 %.3f' % (judge(model, pool, tokenizer, pool.held), judge(model, pool, tokenizer, pool.held, 8, 40)))
    open(os.path.join(args.work, 'finished'), 'w').write('1')


if __name__ == '__main__':
    main()
