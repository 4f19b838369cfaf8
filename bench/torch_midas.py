"""MiDaS 3 (DPT) in PyTorch 2.x, with the keys of VideoComposer's checkpoint, at any size of frames."""
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from torch_layers import Options, softmax_attention

UNIT = 20.0  # the network's output for 1 in the condition


@dataclass(frozen=True)
class MidasConfig:
    """The defaults are DPT-Large."""
    image_size: int = 384
    patch: int = 16
    dim: int = 1024
    neck: tuple = (256, 512, 1024, 1024)
    fusion: int = 256
    heads: int = 16
    layers: int = 24
    head_dim: int = 32


def conv3(c_in, c_out, **more):
    return nn.Conv2d(c_in, c_out, 3, padding=1, **more)


class Attention(nn.Module):
    def __init__(self, dim, heads, options):
        super().__init__()
        self.heads, self.sdpa = heads, options.sdpa
        self.to_qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)

    def forward(self, x):
        q, k, v = self.to_qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return self.proj(softmax_attention(q, k, v, self.sdpa).transpose(1, 2).flatten(2))


class Block(nn.Module):
    def __init__(self, dim, heads, options):
        super().__init__()
        self.norm1, self.norm2, self.attn = nn.LayerNorm(dim), nn.LayerNorm(dim), Attention(dim, heads, options)
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
    """Joins the finer map, then doubles the size. The deepest has none to join; its layer1 is in the file all the same.

    The file's 1x1 convolution comes behind the doubling. The weights of an interpolation add up to 1, so the two can
    change places, and it has a quarter of the work."""

    def __init__(self, c):
        super().__init__()
        self.layer1, self.layer2, self.conv_out = Residual(c), Residual(c), nn.Conv2d(c, c, 1)

    def forward(self, x, lateral=None):
        x = self.layer2(x if lateral is None else x + self.layer1(lateral))
        return F.interpolate(self.conv_out(x), scale_factor=2, mode="bilinear", align_corners=True)


class Midas(nn.Module):
    def __init__(self, cfg=MidasConfig(), options=Options()):
        super().__init__()
        self.cfg, self.options, c = cfg, options, cfg.dim
        self.patch_embedding = nn.Conv2d(3, c, cfg.patch, cfg.patch)
        self.cls_embedding = nn.Parameter(torch.randn(1, 1, c) * 0.02)
        self.pos_embedding = nn.Parameter(torch.randn(1, (cfg.image_size // cfg.patch) ** 2 + 1, c) * 0.02)
        self.blocks = nn.ModuleList([Block(c, cfg.heads, options) for _ in range(cfg.layers)])
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

    def positions(self, height, width):
        """The embedding of so many patches behind that of the class token, resized from the trained grid if need be."""
        side = self.cfg.image_size // self.cfg.patch
        if (height, width) == (side, side):
            return self.pos_embedding
        grid = self.pos_embedding[:, 1:].transpose(1, 2).unflatten(2, (side, side))
        grid = F.interpolate(grid, (height, width), mode="bilinear", align_corners=False)
        return torch.cat([self.pos_embedding[:, :1], grid.flatten(2).transpose(1, 2)], 1)

    def forward(self, frames):
        """[n, 3, H, W] in -1 .. 1 -> inverse depth from 0 on, [n, 16 H / patch, 16 W / patch]."""
        if self.options.channels_last:
            frames = frames.contiguous(memory_format=torch.channels_last)
        x = self.patch_embedding(frames)
        side = x.shape[-2:]
        x = torch.cat([self.cls_embedding.expand(len(x), -1, -1), x.flatten(2).transpose(1, 2)], 1)
        x = x + self.positions(*side)
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
