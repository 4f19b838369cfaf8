"""What the PyTorch definitions of the networks share."""
from dataclasses import dataclass

import torch
import torch.nn.functional as F


@dataclass(frozen=True)
class Options:
    """sdpa: the library's fused attention instead of two products and a softmax. channels_last: memory format of
    activations and convolution weights. fold_time: convolutions over time as 2-D convolutions over (frame, pixel)."""
    sdpa: bool = True
    channels_last: bool = True
    fold_time: bool = True


def tokens_of(x):
    """[b, c, h, w] -> [b, h w, c]; a view when x is channels-last."""
    return x.flatten(2).transpose(1, 2)


def image_of(tokens, like):
    """[b, h w, c] -> [b, c, h, w] of like's height and width, channels-last when the tokens are dense."""
    return tokens.transpose(1, 2).unflatten(2, like.shape[-2:])


def softmax_attention(q, k, v, sdpa, causal=False):
    """[b, heads, rows, d] each. The fused kernels of a GPU have the batch in a grid dimension of at most 65535."""
    if sdpa and not (q.is_cuda and len(q) > 65535):
        return F.scaled_dot_product_attention(q, k, v, is_causal=causal)
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
    if causal:
        scores = scores + torch.full_like(scores[0, 0], float("-inf")).triu(1)
    return scores.softmax(-1) @ v


def arrange(model):
    """To evaluation, its convolution weights in the memory format of its options."""
    model.eval().requires_grad_(False)
    formats = {4: torch.channels_last, 5: torch.channels_last_3d}
    for p in model.parameters():
        if model.options.channels_last and p.dim() in formats:
            p.data = p.data.contiguous(memory_format=formats[p.dim()])
    return model


def random_model(make, dtype=torch.float32, device="cpu", seed=0):
    """Random weights without PyTorch's slow initialisation: norms 1 and 0, matrices of variance 1 / inputs."""
    with torch.device("meta"):
        model = make()
    model = model.to(dtype).to_empty(device=device)
    torch.manual_seed(seed)
    with torch.no_grad():
        for key, p in model.named_parameters():
            if p.dim() > 1:
                bound = (3 / p[0].numel()) ** 0.5
                p.uniform_(-bound, bound)
            else:
                p.fill_(1.0 if key.endswith("weight") else 0.0)
    return arrange(model)


def count(make, run):
    """-> (parameters, FLOP of run(model)), counted without data; one multiply-add is 2 FLOP."""
    from torch.utils.flop_counter import FlopCounterMode
    with torch.device("meta"), torch.no_grad():
        model = make(Options(sdpa=False)).eval()
        with FlopCounterMode(display=False) as counter:
            run(model)
        return sum(p.numel() for p in model.parameters()), counter.get_total_flops()
