"""The image autoencoder of Stable Diffusion 2.1 in PyTorch 2.x, with the keys of the released checkpoint."""
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from torch_layers import Options, image_of, softmax_attention, tokens_of

LATENT_SCALE = 0.18215


@dataclass(frozen=True)
class VAEConfig:
    """The defaults are the released ones."""
    ch: int = 128
    ch_mult: tuple = (1, 2, 4, 4)
    num_res_blocks: int = 2
    in_channels: int = 3
    out_ch: int = 3
    z_channels: int = 4
    embed_dim: int = 4
    groups: int = 32


def conv3(c_in, c_out, **more):
    return nn.Conv2d(c_in, c_out, 3, **{"padding": 1, **more})


class ImageBlock(nn.Module):
    def __init__(self, c_in, c_out, groups):
        super().__init__()
        self.norm1, self.norm2 = nn.GroupNorm(groups, c_in, eps=1e-6), nn.GroupNorm(groups, c_out, eps=1e-6)
        self.conv1, self.conv2 = conv3(c_in, c_out), conv3(c_out, c_out)
        self.nin_shortcut = nn.Conv2d(c_in, c_out, 1) if c_in != c_out else nn.Identity()

    def forward(self, x):
        y = self.conv2(F.silu(self.norm2(self.conv1(F.silu(self.norm1(x))))))
        return self.nin_shortcut(x) + y


class ImageAttention(nn.Module):
    def __init__(self, c, groups, options):
        super().__init__()
        self.sdpa = options.sdpa
        self.norm = nn.GroupNorm(groups, c, eps=1e-6)
        for name in ("q", "k", "v", "proj_out"):
            self.add_module(name, nn.Conv2d(c, c, 1))

    def forward(self, x):
        y = self.norm(x)
        q, k, v = (tokens_of(layer(y)).unsqueeze(1) for layer in (self.q, self.k, self.v))
        return x + self.proj_out(image_of(softmax_attention(q, k, v, self.sdpa).squeeze(1), x))


class Level(nn.Module):
    """Residual blocks, then a convolution that halves or doubles the image; keys `block`, `downsample`, `upsample`."""

    def __init__(self, c_in, c_out, count, groups, resample=None):
        super().__init__()
        self.block = nn.ModuleList([ImageBlock(c_out if i else c_in, c_out, groups) for i in range(count)])
        self.resample = resample
        if resample:
            step = nn.Module()
            step.conv = conv3(c_out, c_out, stride=2, padding=0) if resample == "downsample" else conv3(c_out, c_out)
            self.add_module(resample, step)

    def forward(self, x):
        for block in self.block:
            x = block(x)
        if self.resample == "downsample":  # zeros below and to the right only
            return self.downsample.conv(F.pad(x, (0, 1, 0, 1)))
        if self.resample == "upsample":
            return self.upsample.conv(F.interpolate(x, scale_factor=2, mode="nearest"))
        return x


class ImageCoder(nn.Module):
    """The encoder (levels under `down`, in order) or the decoder (levels under `up`, last first)."""

    def __init__(self, cfg, options, decoder):
        super().__init__()
        widths, deepest, g = [cfg.ch * m for m in cfg.ch_mult], len(cfg.ch_mult) - 1, cfg.groups
        self.decoder, c = decoder, widths[-1] if decoder else cfg.ch
        self.conv_in = conv3(cfg.z_channels if decoder else cfg.in_channels, c)
        levels = {}
        for i in reversed(range(deepest + 1)) if decoder else range(deepest + 1):
            resample = ("upsample" if i > 0 else None) if decoder else ("downsample" if i < deepest else None)
            levels[i] = Level(c, widths[i], cfg.num_res_blocks + decoder, g, resample)
            c = widths[i]
        self.add_module("up" if decoder else "down", nn.ModuleList([levels[i] for i in range(deepest + 1)]))
        self.mid = nn.Module()
        self.mid.block_1, self.mid.block_2 = (ImageBlock(widths[-1], widths[-1], g) for _ in range(2))
        self.mid.attn_1 = ImageAttention(widths[-1], g, options)
        self.norm_out = nn.GroupNorm(g, c, eps=1e-6)
        self.conv_out = conv3(c, cfg.out_ch if decoder else 2 * cfg.z_channels)

    def forward(self, x):
        x = self.conv_in(x)
        for level in [] if self.decoder else self.down:
            x = level(x)
        x = self.mid.block_2(self.mid.attn_1(self.mid.block_1(x)))
        for level in reversed(self.up) if self.decoder else []:
            x = level(x)
        return self.conv_out(F.silu(self.norm_out(x)))


class VAE(nn.Module):
    """parts: `encoder`, `decoder` or both."""

    def __init__(self, cfg=VAEConfig(), options=Options(), parts=("encoder", "decoder")):
        super().__init__()
        self.options = options
        if "encoder" in parts:
            self.encoder = ImageCoder(cfg, options, decoder=False)
            self.quant_conv = nn.Conv2d(2 * cfg.z_channels, 2 * cfg.embed_dim, 1)
        if "decoder" in parts:
            self.decoder = ImageCoder(cfg, options, decoder=True)
            self.post_quant_conv = nn.Conv2d(cfg.embed_dim, cfg.z_channels, 1)

    def format(self, x):
        return x.contiguous(memory_format=torch.channels_last) if self.options.channels_last else x

    def moments(self, image):
        """[n, 3, H, W] in -1 .. 1 -> mean and logarithm of the variance, [n, 2 embed_dim, H/8, W/8]."""
        return self.quant_conv(self.encoder(self.format(image)))

    def encode(self, image, noise):
        """-> (moments, mean, logvar, the UNet's latent)."""
        moments = self.moments(image)
        mean, logvar = moments.chunk(2, 1)
        logvar = logvar.clamp(-30, 20)
        return moments, mean, logvar, LATENT_SCALE * (mean + (logvar / 2).exp() * noise)

    def decode(self, latent):
        """The UNet's latent [n, 4, h, w] -> [n, 3, 8h, 8w], not clamped."""
        return self.decoder(self.post_quant_conv(self.format(latent / LATENT_SCALE)))
