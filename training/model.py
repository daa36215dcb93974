"""FastConformer-TDT with NeMo's parameter names: dw_striding x8, relative positions, no biases in the layers.

Written to train: masks for chunks, a penalty on large attention scores, statistics of the batch norm over valid frames only.
"""
import math, re
from dataclasses import dataclass
import torch
import torch.nn as nn
import torch.nn.functional as F
from kernels import Depthwise1, Depthwise2
from loss import Ctc, Tdt

SCORE_SOFT_MAX = 20.    # attention scores beyond this are penalised
MASKED = -1e4
# Weights that an int8 file rounds, a scale a row.
MATRICES = re.compile(r'linear|pointwise_conv|lstm\.weight|pre_encode\.(out|conv\.[36])\.weight|joint\..*weight')


@dataclass
class Config:
    width: int = 192
    layers: int = 9
    heads: int = 6
    channels: int = 128
    mels: int = 128
    kernel: int = 9
    vocabulary: int = 256
    dropout: float = .1
    predictor_dropout: float = .2
    token_dropout: float = .1


class Rounded(torch.autograd.Function):
    """What goes into a product as int8 has it: a scale a row, largest magnitude / 127.  The gradient passes as if nothing had happened."""

    @staticmethod
    def forward(ctx, x):
        y = x.float()
        scale = y.abs().amax(-1, keepdim=True).div_(127).clamp_(min=1e-12)
        return (y / scale).round_().mul_(scale).to(x.dtype)

    @staticmethod
    def backward(ctx, g):
        return g


class Linear(nn.Linear):
    def forward(self, x):
        return F.linear(Rounded.apply(x) if self.training else x, self.weight, self.bias)


class Subsampling(nn.Module):
    """[B][T][128] -> [B][T/8][D].  Channels last inside; the weights are in NeMo's shapes."""

    def __init__(self, c):
        super().__init__()
        n = c.channels
        self.conv = nn.ModuleDict({'0': nn.Conv2d(1, n, 3, 2, 1), '2': nn.Conv2d(n, n, 3, 2, 1, groups=n), '3': nn.Conv2d(n, n, 1),
                                   '5': nn.Conv2d(n, n, 3, 2, 1, groups=n), '6': nn.Conv2d(n, n, 1)})
        self.out = Linear(n * c.mels // 8, c.width)

    def first(self, x, n):
        """3x3 convolution of the one-channel image as a product: nine views, the validity of the frame (for the bias), zeros."""
        B, T, H = x.shape
        T2, H2 = (T + 1) // 2, (H + 1) // 2
        p = F.pad(x, (1, 1, 1, 1))
        patch = x.new_zeros(B, T2, H2, 16)
        for k in range(9):
            patch[..., k] = p[:, k // 3:k // 3 + 2 * T2 - 1:2, k % 3:k % 3 + 2 * H2 - 1:2]
        patch[..., 9] = 1
        patch *= (torch.arange(T2, device=x.device)[None] < n[:, None])[:, :, None, None]
        conv = self.conv['0']
        weight = F.pad(torch.cat([conv.weight.view(-1, 9), conv.bias[:, None]], 1), (0, 6))
        return F.linear(patch.bfloat16(), weight.bfloat16()).relu_()

    def stage(self, x, depthwise, pointwise, n):
        """The depthwise kernel takes what lies beyond the n valid frames of x as zero."""
        dw, pw = self.conv[depthwise], self.conv[pointwise]
        y = Depthwise2.apply(x, dw.weight, dw.bias, n.int())
        return F.linear(Rounded.apply(y), pw.weight.flatten(1).bfloat16(), pw.bias.bfloat16()).relu_()

    def plain(self, x, n):
        """The same in float32, by the framework's convolutions: for judging."""
        keep = lambda y, n: y * (torch.arange(y.shape[2], device=y.device)[None] < n[:, None])[:, None, :, None]
        c, x = self.conv, x[:, None]
        for names in (('0',), ('2', '3'), ('5', '6')):
            n = (n + 1) // 2
            for name in names:
                x = keep(c[name](x), n)
            x = x.relu()
        return self.out(x.transpose(1, 2).flatten(2)), n

    def forward(self, x, n):
        x = x * (torch.arange(x.shape[1], device=x.device)[None] < n[:, None])[..., None]
        if not self.training:
            return self.plain(x, n)
        n = (n + 1) // 2
        x = self.first(x, n)
        x = self.stage(x, '2', '3', n)
        n = (n + 1) // 2
        x = self.stage(x, '5', '6', n)
        n = (n + 1) // 2
        B, T, H, C = x.shape
        weight = self.out.weight.view(-1, C, H).transpose(1, 2).reshape(-1, H * C)
        return F.linear(Rounded.apply(x.view(B, T, H * C)), weight.bfloat16(), self.out.bias.bfloat16()), n


class FeedForward(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.linear1 = Linear(c.width, 4 * c.width, bias=False)
        self.linear2 = Linear(4 * c.width, c.width, bias=False)
        self.p = c.dropout

    def forward(self, x):
        return self.linear2(F.dropout(F.silu(self.linear1(x)), self.p, self.training))


class Attention(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.h, self.d, self.p = c.heads, c.width // c.heads, c.dropout
        for name in ('q', 'k', 'v', 'out', 'pos'):
            setattr(self, 'linear_' + name, Linear(c.width, c.width, bias=False))
        self.pos_bias_u = nn.Parameter(torch.zeros(self.h, self.d))
        self.pos_bias_v = nn.Parameter(torch.zeros(self.h, self.d))

    def forward(self, x, position, allowed, valid):
        B, T, D = x.shape
        heads = lambda y: y.view(y.shape[0], -1, self.h, self.d).transpose(1, 2)
        q, k, v = heads(self.linear_q(x)), heads(self.linear_k(x)), heads(self.linear_v(x))
        r = heads(self.linear_pos(position)[None])                                   # [1][h][2T-1][d], distance T-1 .. -(T-1)
        scale = 1 / math.sqrt(self.d)
        content = ((q + self.pos_bias_u[:, None]) * scale) @ k.transpose(2, 3)
        place = ((q + self.pos_bias_v[:, None]) * scale) @ r.transpose(2, 3)
        place = F.pad(place, (1, 0)).view(B, self.h, 2 * T, T)[:, :, 1:].reshape(B, self.h, T, 2 * T - 1)[..., :T]
        score = content.float() + place.float()
        pair = (allowed & valid[:, None, :] & valid[:, :, None])[:, None]            # [B][1][T][T]
        top = score.abs().masked_fill(~pair, 0.).amax(-1)
        penalty = (top - SCORE_SOFT_MAX).relu().square().mean()
        weight = score.masked_fill(~pair, MASKED).softmax(-1).to(v.dtype)
        weight = F.dropout(weight, self.p, self.training)
        y = (weight @ v).transpose(1, 2).reshape(B, T, D)
        return self.linear_out(y), penalty, top.detach().amax()


class Convolution(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.pointwise_conv1 = nn.Conv1d(c.width, 2 * c.width, 1, bias=False)
        self.depthwise_conv = nn.Conv1d(c.width, c.width, c.kernel, padding=c.kernel // 2, groups=c.width, bias=False)
        self.batch_norm = nn.BatchNorm1d(c.width)
        self.pointwise_conv2 = nn.Conv1d(c.width, c.width, 1, bias=False)

    def forward(self, x, valid, chunk, momentum):
        """chunk: no tap sees beyond the end of its chunk; in training an int32 tensor."""
        into = Rounded.apply if self.training else lambda x: x
        x = F.glu(F.linear(into(x), self.pointwise_conv1.weight[:, :, 0]), -1) * valid[..., None]
        if self.training:
            y = Depthwise1.apply(x.bfloat16(), self.depthwise_conv.weight, chunk)
        else:
            y = self.plain(x, chunk)
        norm = self.batch_norm
        if self.training:
            weight = valid[..., None].float()
            count = weight.sum()
            mean = (y * weight).sum((0, 1)) / count
            variance = ((y - mean).square() * weight).sum((0, 1)) / count
            with torch.no_grad():
                norm.running_mean.lerp_(mean, momentum)
                norm.running_var.lerp_(variance, momentum)
        else:
            mean, variance = norm.running_mean, norm.running_var
        y = (y - mean) * (variance + norm.eps).rsqrt() * norm.weight + norm.bias
        return F.linear(into(F.silu(y).to(x.dtype)), self.pointwise_conv2.weight[:, :, 0])

    def plain(self, x, chunk):
        """In float32, for judging: a chunk and the four frames before it at a time."""
        conv = lambda x: self.depthwise_conv(x.transpose(1, 2)).transpose(1, 2)
        if not chunk:
            return conv(x)
        parts = [conv(x[:, max(0, t - 4):t + chunk])[:, min(t, 4):] for t in range(0, x.shape[1], chunk)]
        return torch.cat(parts, 1)


class Layer(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.p = c.dropout
        for name in ('feed_forward1', 'self_att', 'conv', 'feed_forward2', 'out'):
            setattr(self, 'norm_' + name, nn.LayerNorm(c.width))
        self.feed_forward1, self.feed_forward2 = FeedForward(c), FeedForward(c)
        self.self_attn, self.conv = Attention(c), Convolution(c)

    def forward(self, x, position, allowed, valid, chunk, momentum):
        drop = lambda y: F.dropout(y, self.p, self.training).float()
        x = x + .5 * drop(self.feed_forward1(self.norm_feed_forward1(x)))
        y, penalty, top = self.self_attn(self.norm_self_att(x), position, allowed, valid)
        x = x + drop(y)
        x = x + drop(self.conv(self.norm_conv(x), valid, chunk, momentum))
        x = x + .5 * drop(self.feed_forward2(self.norm_feed_forward2(x)))
        return self.norm_out(x), penalty, top


def subsampled(n):
    """Frames that the subsampling makes of n."""
    for _ in range(3):
        n = (n + 1) // 2
    return n


def positions(T, width, device):
    r = torch.arange(T - 1, -T, -1, device=device, dtype=torch.float32)[:, None]
    w = torch.exp(-torch.arange(0, width, 2, device=device) * (math.log(10000.) / width))
    return torch.stack([(r * w).sin(), (r * w).cos()], -1).flatten(1)


def context(T, device, chunk=None, left=None):
    """allowed [1][T][T]: chunks of `chunk` frames that see themselves and `left` frames before; None: all."""
    if chunk is None:
        return torch.ones(1, T, T, dtype=torch.bool, device=device)
    t = torch.arange(T, device=device)
    begin = t // chunk * chunk
    return ((t[None] < (begin + chunk)[:, None]) & (t[None] >= (begin - left)[:, None]))[None]


class Encoder(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.c = c
        self.pre_encode = Subsampling(c)
        self.layers = nn.ModuleList(Layer(c) for _ in range(c.layers))

    def forward(self, x, n, chunk=None, allowed=None, momentum=None):
        x, n = self.pre_encode(x, n)
        x = F.dropout(x.float(), self.c.dropout, self.training)
        T = x.shape[1]
        valid = torch.arange(T, device=x.device)[None] < n[:, None]
        position = positions(T, self.c.width, x.device)
        penalty, tops = 0., []
        for layer in self.layers:
            x, p, top = layer(x, position, allowed, valid, chunk, momentum)
            penalty, tops = penalty + p, tops + [top]
        return x, n, penalty, torch.stack(tops)


class Nest(nn.Module):
    """A name in between."""

    def __init__(self, **parts):
        super().__init__()
        for name, part in parts.items():
            self.add_module(name, part)


class Model(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.c = c
        D, V = c.width, c.vocabulary
        self.encoder = Encoder(c)
        self.decoder = Nest(prediction=Nest(embed=nn.Embedding(V + 1, D, padding_idx=V),
                                            dec_rnn=Nest(lstm=nn.LSTM(D, D, 2, batch_first=True))))
        self.joint = Nest(pred=Linear(D, D), enc=Linear(D, D), joint_net=nn.ModuleDict({'2': nn.Linear(D, V + 6)}))
        self.ctc = nn.Linear(D, V + 1)

    def predict(self, labels, state=None):
        prediction = self.decoder.prediction
        x = prediction.embed(labels)
        if self.training:
            x = x * (torch.rand(labels.shape, device=x.device) >= self.c.token_dropout)[..., None]
        y, state = prediction.dec_rnn.lstm(x, state)
        return self.joint.pred(F.dropout(y, self.c.predictor_dropout, self.training)), state

    def joint_hidden(self, e, p):
        return F.dropout((e[:, :, None] + p[:, None]).relu(), self.c.dropout, self.training)

    def losses(self, mel, n, labels, U, chunk, allowed, momentum, ctc_share):
        """Of each row the TDT and the CTC loss; the score penalty, the largest score a layer.  All arguments are on the device: n, U int32 [B];
        chunk int32 [1]; allowed as context() makes it; momentum of the batch norm's statistics [1]; how much of the CTC loss's
        gradient reaches the encoder [1], which a new CTC head would only disturb."""
        V = self.c.vocabulary
        x, n, penalty, tops = self.encoder(mel, n, chunk, allowed, momentum)
        start = torch.full_like(labels[:, :1], V)
        p, _ = self.predict(torch.cat([start, labels], 1))
        hidden = self.joint_hidden(self.joint.enc(x), p)
        head = self.joint.joint_net['2']
        extra = -(V + 6) % 8
        logits = F.linear(Rounded.apply(hidden), F.pad(head.weight, (0, 0, 0, extra)), F.pad(head.bias, (0, extra)))
        n = n.clamp(max=x.shape[1]).int()
        targets = torch.cat([labels, start * 0], 1)
        tdt = Tdt.apply(logits, targets, n, U, V, .05)
        heard = x * ctc_share + x.detach() * (1 - ctc_share)
        ctc = Ctc.apply(self.ctc(heard).float().log_softmax(-1).contiguous(), labels, n, U)
        return tdt, ctc, penalty, tops

    @torch.no_grad()
    def greedy(self, mel, n, max_symbols=10, chunk=None, left=None):
        """Label ids of each row, all rows at once."""
        V, device = self.c.vocabulary, mel.device
        frames = subsampled(mel.shape[1])
        x, n, _, _ = self.encoder(mel, n, chunk, context(frames, device, chunk, left))
        e = self.joint.enc(x.float())
        B = len(x)
        rows = torch.arange(B, device=device)
        t, symbols, out = torch.zeros_like(n), torch.zeros_like(n), [[] for _ in range(B)]
        p, state = self.predict(torch.full((B, 1), V, device=device))
        while bool((t < n).any()):
            live = t < n
            z = self.joint.joint_net['2']((e[rows, t.clamp(max=e.shape[1] - 1)] + p[:, 0]).relu()).float()
            token, jump = z[:, :V + 1].argmax(-1), z[:, V + 1:].argmax(-1)
            emit = live & (token != V)
            for b in emit.nonzero()[:, 0].tolist():
                out[b].append(int(token[b]))
            p2, state2 = self.predict(token[:, None], state)
            p = torch.where(emit[:, None, None], p2, p)
            state = tuple(torch.where(emit[None, :, None], a, b) for a, b in zip(state2, state))
            jump = torch.where(emit, jump, jump.clamp(min=1))
            symbols = torch.where(emit & (jump == 0), symbols + 1, 0)
            force = symbols >= max_symbols
            t = t + jump * live + force
            symbols = torch.where(force, 0, symbols)
        return out
