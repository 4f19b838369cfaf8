"""Training of the autoencoder (bench/torch_vae.py) on frames of the world."""
import torch
import torch.nn.functional as F

from stage import Stage, autocast, compiled, frame_pool, signed
from torch_layers import Options
from torch_vae import LATENT_SCALE, VAE


class Coding(torch.nn.Module):
    """Frames to frames through a sample of the posterior, with the terms of the loss."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        mean, logvar = self.model.moments(x).float().chunk(2, 1)
        logvar = logvar.clamp(-30, 20)
        z = mean + (logvar / 2).exp() * torch.randn_like(mean)
        y = self.model.decode(LATENT_SCALE * z).float()
        kl = 0.5 * (mean.pow(2) + logvar.exp() - 1 - logvar).mean()
        return (y - x).abs().mean(), F.mse_loss(y, x), edges(x, y), kl


def edges(x, y):
    """Differences of the differences of neighbours, at full and at half size: what an eye calls sharp."""
    total = 0
    for _ in range(2):
        total = total + sum((y.diff(dim=k) - x.diff(dim=k)).abs().mean() for k in (2, 3))
        x, y = F.avg_pool2d(x, 2), F.avg_pool2d(y, 2)
    return total


@torch.no_grad()
def whiten(model, x):
    """Folds each latent channel's mean and deviation into the 1 x 1 convolutions: the UNet's latent then has mean 0 and
    deviation 1."""
    n = model.post_quant_conv.in_channels
    z = torch.cat([model.moments(part)[:, :n] for part in x.split(64)])
    mean, gain = z.mean((0, 2, 3)), 1 / (LATENT_SCALE * z.std((0, 2, 3)))
    into, out = model.quant_conv, model.post_quant_conv
    out.bias += out.weight[:, :, 0, 0] @ mean
    out.weight /= gain[None, :, None, None]
    into.bias[:n] = (into.bias[:n] - mean) * gain
    into.weight[:n] *= gain[:, None, None, None]
    into.bias[n:] += 2 * gain.log()


def train(a, minutes, cfg):
    model = VAE(cfg, Options()).to(a.device)
    stage = Stage(a, "vae", {"model": model}, 1.5e-3, minutes, average="model", weight_decay=0)
    if stage.done:
        return
    pool, run = frame_pool(a, stage.generator), compiled(a, Coding(model))
    for _ in stage:
        pool.refresh(max(1, a.frame_batch // 32))
        clip = torch.randint(pool.size, (a.frame_batch,), device=a.device)
        frame = torch.randint(8, (a.frame_batch,), device=a.device)
        x = signed(pool.data["frames"][clip, frame])
        with autocast(a):
            plain, square, edge, kl = run(x)
        stage.update(plain + square + edge + 3e-4 * kl, psnr=6.02 - 10 * torch.log10(square), kl=kl)
    whiten(stage.modules["average"], signed(pool.data["frames"][:64].flatten(0, 1)))
    stage.save()
