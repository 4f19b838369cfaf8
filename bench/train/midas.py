"""MiDaS 3 (DPT) in PyTorch, with the keys of VideoComposer's checkpoint and at any size, and its training.

Frames in -1 .. 1 to inverse depth from 0 on; the condition of the UNet is a twentieth of that. The world's exact
inverse depth is what it learns.
"""
from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import nn

from stage import Stage, autocast, frame_pool, signed

UNIT = 20.0  # the network's output for 1 in the condition


@dataclass(frozen=True)
class MidasConfig:
    image_size: int = 128
    patch: int = 16
    dim: int = 96
    neck: tuple = (24, 48, 64, 64)
    fusion: int = 32
    heads: int = 4
    layers: int = 4
    head_dim: int = 16


def conv3(c_in, c_out, **more):
    return nn.Conv2d(c_in, c_out, 3, padding=1, **more)


class Attention(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        self.heads, self.to_qkv, self.proj = heads, nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)

    def forward(self, x):
        q, k, v = self.to_qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class Block(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        self.norm1, self.norm2, self.attn = nn.LayerNorm(dim), nn.LayerNorm(dim), Attention(dim, heads)
        self.mlp = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))

    def forward(self, x):
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class Residual(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.residual = nn.Sequential(nn.ReLU(), conv3(c, c), nn.ReLU(), conv3(c, c))

    def forward(self, x):
        return x + self.residual(x)


class Fusion(nn.Module):
    """Joins the finer map, then doubles the size. The deepest has none to join; its layer1 is in the file all the same."""

    def __init__(self, c):
        super().__init__()
        self.layer1, self.layer2, self.conv_out = Residual(c), Residual(c), nn.Conv2d(c, c, 1)

    def forward(self, x, lateral=None):
        x = self.layer2(x if lateral is None else x + self.layer1(lateral))
        return self.conv_out(F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True))


class Midas(nn.Module):
    def __init__(self, cfg=MidasConfig()):
        super().__init__()
        self.cfg, c = cfg, cfg.dim
        self.patch_embedding = nn.Conv2d(3, c, cfg.patch, cfg.patch)
        self.cls_embedding = nn.Parameter(torch.randn(1, 1, c) * 0.02)
        self.pos_embedding = nn.Parameter(torch.randn(1, (cfg.image_size // cfg.patch) ** 2 + 1, c) * 0.02)
        self.blocks = nn.ModuleList([Block(c, cfg.heads) for _ in range(cfg.layers)])
        sizes = {1: lambda n: [nn.ConvTranspose2d(n, n, 4, 4)], 2: lambda n: [nn.ConvTranspose2d(n, n, 2, 2)],
                 3: lambda n: [], 4: lambda n: [conv3(n, n, stride=2)]}
        for k, n in enumerate(cfg.neck, 1):
            self.add_module(f"fc{k}", nn.Sequential(nn.Linear(2 * c, c), nn.GELU()))
            self.add_module(f"conv{k}", nn.Sequential(nn.Conv2d(c, n, 1), *sizes[k](n),
                                                      conv3(n, cfg.fusion, bias=False)))
            self.add_module(f"fusion{k}", Fusion(cfg.fusion))
        self.head = nn.Sequential(
            conv3(cfg.fusion, cfg.fusion // 2), nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True),
            conv3(cfg.fusion // 2, cfg.head_dim), nn.ReLU(), nn.ConvTranspose2d(cfg.head_dim, 1, 1), nn.ReLU())
        nn.init.constant_(self.head[4].bias, 8.0)  # among the answers: an output below 0 would learn nothing

    def forward(self, frames):
        x = self.patch_embedding(frames)
        side = x.shape[-2:]
        x = torch.cat([self.cls_embedding.expand(len(x), -1, -1), x.flatten(2).transpose(1, 2)], 1) + self.pos_embedding
        maps, quarter = [], self.cfg.layers // 4
        for k in range(4):
            for block in self.blocks[k * quarter:(k + 1) * quarter]:
                x = block(x)
            y = torch.cat([x[:, 1:], x[:, :1].expand(-1, x.shape[1] - 1, -1)], -1)
            y = getattr(self, f"fc{k + 1}")(y).transpose(1, 2).unflatten(2, side)
            maps.append(getattr(self, f"conv{k + 1}")(y))
        y = self.fusion4(maps[3])
        for k in (3, 2, 1):
            y = getattr(self, f"fusion{k}")(y, maps[k - 1])
        return self.head(y)[:, 0]


def train(a, minutes):
    model = Midas().to(a.device)
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
    return asdict(MidasConfig())
