"""The losses.  TDT is over logits [B][T][U+1][at least V+6]: V labels, blank, five durations, padding."""
import torch
from kernels import launch

DURATIONS = 5


def split(logits, labels, vocabulary):
    """Log probabilities of blank and label, of the durations, and what makes the softmax again."""
    token = logits[..., :vocabulary + 1].float()
    duration = logits[..., vocabulary + 1:vocabulary + 1 + DURATIONS].float().log_softmax(-1)
    norm = token.logsumexp(-1)
    label = token.gather(3, labels[:, None, :, None].expand(-1, token.shape[1], -1, 1))[..., 0] - norm
    return token[..., vocabulary] - norm, label, duration, norm


def join(logits, labels, norm, g_blank, g_label, g_duration, scale, vocabulary):
    """Gradient with respect to the logits from that of the log probabilities."""
    scale = scale[:, None, None]
    g_blank, g_label, g_duration = g_blank * scale, g_label * scale, g_duration * scale[..., None]
    out = logits.to(torch.float32, copy=True)
    duration = out[..., vocabulary + 1:vocabulary + 1 + DURATIONS].softmax(-1)
    out.sub_(norm[..., None]).exp_().mul_(-(g_blank + g_label)[..., None])
    out[..., vocabulary] += g_blank
    out.scatter_add_(3, labels[:, None, :, None].expand(-1, out.shape[1], -1, 1), g_label[..., None])
    out[..., vocabulary + 1:] = 0
    out[..., vocabulary + 1:vocabulary + 1 + DURATIONS] = g_duration - duration * g_duration.sum(-1, keepdim=True)
    return out.to(logits.dtype)


class Tdt(torch.autograd.Function):
    """Minus log probability of each row.  labels [B][U0] (beyond U: anything), T and U int32 [B].
    sigma is taken off every log probability: it makes long durations cheaper, as NeMo has it."""

    @staticmethod
    def forward(ctx, logits, labels, T, U, vocabulary, sigma):
        blank, label, duration, norm = split(logits, labels, vocabulary)
        blank, label, duration = (blank - sigma).contiguous(), (label - sigma).contiguous(), duration.contiguous()
        B, T0, U0 = blank.shape
        alpha, beta = torch.full_like(blank, -1e30), torch.full_like(blank, -1e30)
        grads = [torch.zeros_like(blank), torch.zeros_like(blank), torch.zeros_like(duration)]
        total = torch.zeros(B, device=logits.device)
        launch('tdt', B, 64 if U0 <= 64 else 128, [blank, label, duration, T, U, alpha, beta, total, *grads], T0, U0)
        ctx.save_for_backward(logits, labels, norm, *grads)
        ctx.vocabulary = vocabulary
        return -total

    @staticmethod
    def backward(ctx, scale):
        logits, labels, norm, *grads = ctx.saved_tensors
        return join(logits, labels, norm, *grads, scale, ctx.vocabulary), None, None, None, None, None


class Ctc(torch.autograd.Function):
    """Minus log probability of each row; 0 where T leaves no path.  logp float32 [B][T][V], blank last; labels int64 [B][U0], T and U int32 [B]."""

    @staticmethod
    def forward(ctx, logp, labels, T, U):
        (B, T0, V), U0 = logp.shape, labels.shape[1]
        lattice = torch.full((2, B, T0, 2 * U0 + 1), -1e30, device=logp.device)
        grad, total = torch.zeros_like(logp), torch.zeros(B, device=logp.device)
        launch('ctc', B, 128, [logp, labels, T, U, lattice[0], lattice[1], total, grad], T0, U0, V)
        ctx.save_for_backward(grad)
        return -total

    @staticmethod
    def backward(ctx, scale):
        return ctx.saved_tensors[0] * scale[:, None, None], None, None, None
