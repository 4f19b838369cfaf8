"""Training of MiDaS 3 (bench/torch_midas.py) on the world's exact inverse depth.

Frames in -1 .. 1 to inverse depth from 0 on; the condition of the UNet is a twentieth of that.
"""
from dataclasses import asdict

import torch
from torch import nn

from stage import Stage, autocast, frame_pool, signed
from torch_midas import UNIT, Midas, MidasConfig

SMALL = MidasConfig(image_size=128, dim=96, neck=(24, 48, 64, 64), fusion=32, heads=4, layers=4, head_dim=16)


def train(a, minutes):
    model = Midas(SMALL).to(a.device)
    nn.init.constant_(model.head[4].bias, 8.0)  # among the answers: an output below 0 would learn nothing
    stage = Stage(a, "midas", {"model": model}, 1.5e-3, minutes, average="model")
    if stage.done:
        return
    pool = frame_pool(a, stage.generator)
    for _ in stage:
        pool.refresh(max(1, a.frame_batch // 32))
        clip = torch.randint(pool.size, (a.frame_batch,), device=a.device)
        frame = torch.randint(8, (a.frame_batch,), device=a.device)
        x = signed(pool.data["frames"][clip, frame])
        want = pool.data["depth"][clip, frame].float() * (40 / 255 / UNIT)
        gain = 1 + 0.1 * torch.randn(len(x), 1, 1, 1, device=a.device)  # exposures differ in what it will see
        with autocast(a):
            got = model((x * gain).clamp(-1, 1)).float() / UNIT
        error = (got - want).abs()
        edges = sum((got.diff(dim=k) - want.diff(dim=k)).abs().mean() for k in (1, 2))
        stage.update(error.mean() + edges, error=error.mean())


def config():
    return asdict(SMALL)
