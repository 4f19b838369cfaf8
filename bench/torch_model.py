#!/usr/bin/env python3
"""VideoComposer's UNet in PyTorch 2.x: what this engine's speed is measured against.

Written for speed, so that the comparison is fair. Frames are folded into the batch throughout: an activation is
[n f, c, h, w], which in channels-last memory is [n f h w c], and every other view of it (tokens of a frame, a sequence
in time, a group norm over a video) is then free. Keys and values of the text are computed once a video and not once a
frame. `Options` (torch_layers.py) chooses between this and what a plain implementation does. The keys of the state dict
are those of the released checkpoints, odd spelling included.

    torch_model.py --check DIRECTORY    evaluate the reference cases (videocomposer-case/1) of all networks that are
                                        defined in bench/torch_*.py in a directory, with all options on and all off
    torch_model.py --count              parameters and FLOP of one pass of the released networks
"""
import argparse
import json
import sys
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from torch_layers import Options, count, image_of, softmax_attention, tokens_of
from torch_vae import VAE, VAEConfig


@dataclass(frozen=True)
class UNetConfig:
    """The defaults are the released 256 x 256 model. stc_size is four times the latent's (height, width)."""
    in_dim: int = 4
    out_dim: int = 4
    dim: int = 320
    dim_mult: tuple = (1, 2, 4, 4)
    num_res_blocks: int = 2
    attn_scales: tuple = (1.0, 0.5, 0.25)
    num_heads: int = 8
    head_dim: int = 64
    context_dim: int = 1024
    concat_dim: int = 8
    stc_size: tuple = (128, 128)
    conditions: tuple = ("text", "mask", "depthmap", "sketch", "motion", "image", "local_image", "single_sketch")
    groups: int = 32


@dataclass(frozen=True)
class Video:
    """What a layer of the UNet needs besides its input."""
    n: int                 # videos
    emb: torch.Tensor      # [n, 4 dim], after its SiLU
    context: torch.Tensor  # [n, tokens, context_dim]


# condition: argument of UNet.forward, channels, prefix of its convolutions, prefix of its transformer
ENCODERS = {
    "depthmap": ("depth", 1, "depth_embedding", "depth_embedding_after"),
    "local_image": ("local_image", 3, "local_image_embedding", "local_image_embedding_after"),
    "motion": ("motion", 2, "motion_embedding", "motion_embedding_after"),
    "canny": ("canny", 1, "canny_embedding", "canny_embedding_after"),
    "sketch": ("sketch", 1, "sketch_embedding", "sketch_embedding_after"),
    "single_sketch": ("single_sketch", 1, "single_sketch_embedding", "single_sketch_embedding_after"),
    "mask": ("masked", 4, "masked_embedding", "mask_embedding_after"),
}


def in_time(x, n):
    """[n f, c, h, w] -> [n, c, f, h w]: what spans the frames of a video sees this."""
    return x.flatten(2).unflatten(0, (n, -1)).transpose(1, 2)


def out_of_time(y, like):
    """[n, c, f, h w] -> [n f, c, h, w] of like's height and width."""
    return y.transpose(1, 2).flatten(0, 1).unflatten(2, like.shape[-2:])


class Attention(nn.Module):
    """Attention over dimension -2, or over the frames of tokens [n, f, pixels, c] when `time` is set."""

    def __init__(self, width, source, heads, head_dim, options, time=False):
        super().__init__()
        inner = heads * head_dim
        self.heads, self.time, self.sdpa = heads, time, options.sdpa
        self.to_q, self.to_k, self.to_v = (nn.Linear(c, inner, bias=False) for c in (width, source, source))
        self.to_out = nn.Sequential(nn.Linear(inner, width))

    def split(self, x):
        x = x.unflatten(-1, (self.heads, -1))
        return x.permute(0, 2, 3, 1, 4).flatten(0, 1) if self.time else x.transpose(1, 2)

    def forward(self, x, context=None):
        source = x if context is None else context
        shape = x.shape
        if context is not None:  # all frames of a video look at the same tokens: one long sequence of queries
            x = x.reshape(len(context), -1, shape[-1])
        y = softmax_attention(self.split(self.to_q(x)), self.split(self.to_k(source)), self.split(self.to_v(source)),
                              self.sdpa)
        if self.time:
            y = y.unflatten(0, (shape[0], -1)).permute(0, 3, 1, 2, 4)
        else:
            y = y.transpose(1, 2)
        return self.to_out(y.flatten(-2)).reshape(shape)


class Gated(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.proj = nn.Linear(width, 8 * width)

    def forward(self, x):
        value, gate = self.proj(x).chunk(2, -1)
        return F.gelu(gate).mul_(value)


class Perceptron(nn.Module):
    """`net.0` is gated in the transformers of the UNet, plain in those of the condition encoders."""

    def __init__(self, width, gated):
        super().__init__()
        first = Gated(width) if gated else nn.Sequential(nn.Linear(width, 4 * width), nn.GELU())
        self.net = nn.Sequential(first, nn.Identity(), nn.Linear(4 * width, width))

    def forward(self, x):
        return self.net(x)


class TransformerLayer(nn.Module):
    def __init__(self, width, heads, head_dim, options, context_dim=None):
        super().__init__()
        time = context_dim is None
        self.attn1 = Attention(width, width, heads, head_dim, options, time)
        self.attn2 = Attention(width, context_dim or width, heads, head_dim, options, time)
        self.ff = Perceptron(width, gated=True)
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(width) for _ in range(3))

    def forward(self, x, context=None):
        x = self.attn1(self.norm1(x)) + x
        x = self.attn2(self.norm2(x), context) + x
        return self.ff(self.norm3(x)) + x


class SpatialTransformer(nn.Module):
    def __init__(self, c, cfg, options):
        super().__init__()
        heads = c // cfg.head_dim
        inner = heads * cfg.head_dim
        self.norm = nn.GroupNorm(cfg.groups, c, eps=1e-6)
        self.proj_in, self.proj_out = nn.Linear(c, inner), nn.Linear(inner, c)
        self.transformer_blocks = nn.ModuleList(
            [TransformerLayer(inner, heads, cfg.head_dim, options, cfg.context_dim)])

    def forward(self, x, video):
        tokens = self.transformer_blocks[0](self.proj_in(tokens_of(self.norm(x))), video.context)
        return x + image_of(self.proj_out(tokens), x)


class TemporalTransformer(nn.Module):
    def __init__(self, c, heads, cfg, options):
        super().__init__()
        inner = heads * cfg.head_dim
        self.norm = nn.GroupNorm(cfg.groups, c, eps=1e-6)
        self.proj_in, self.proj_out = nn.Conv1d(c, inner, 1), nn.Conv1d(inner, c, 1)
        self.transformer_blocks = nn.ModuleList([TransformerLayer(inner, heads, cfg.head_dim, options)])

    def forward(self, x, video):
        tokens = self.norm(in_time(x, video.n)).permute(0, 2, 3, 1)  # [n, f, pixels, c]
        tokens = F.linear(tokens, self.proj_in.weight.squeeze(-1), self.proj_in.bias)
        tokens = self.transformer_blocks[0](tokens)
        tokens = F.linear(tokens, self.proj_out.weight.squeeze(-1), self.proj_out.bias)
        return x + image_of(tokens.flatten(0, 1), x)


class TemporalConv(nn.Module):
    """Four times norm, SiLU, three taps over the frames. The indices leave room for the dropout of training."""

    def __init__(self, c, cfg, options):
        super().__init__()
        self.fold = options.fold_time
        for name, idle in (("conv1", 0), ("conv2", 1), ("conv3", 1), ("conv4", 1)):
            self.add_module(name, nn.Sequential(nn.GroupNorm(cfg.groups, c), nn.SiLU(), *[nn.Identity()] * idle,
                                                nn.Conv3d(c, c, (3, 1, 1), padding=(1, 0, 0))))

    def forward(self, x, video):
        y = in_time(x, video.n)
        for stage in (self.conv1, self.conv2, self.conv3, self.conv4):
            norm, conv = stage[0], stage[-1]
            y = F.silu(norm(y))
            if self.fold:
                y = F.conv2d(y, conv.weight.squeeze(-1), conv.bias, padding=(1, 0))
            else:
                y = conv(y.unsqueeze(-1)).squeeze(-1)
        return x + out_of_time(y, x)


class ResidualBlock(nn.Module):
    def __init__(self, c_in, c_out, cfg, options):
        super().__init__()
        self.in_layers = nn.Sequential(nn.GroupNorm(cfg.groups, c_in), nn.SiLU(), nn.Conv2d(c_in, c_out, 3, padding=1))
        self.emb_layers = nn.Sequential(nn.Identity(), nn.Linear(4 * cfg.dim, c_out))
        self.out_layers = nn.Sequential(nn.GroupNorm(cfg.groups, c_out), nn.SiLU(), nn.Identity(),
                                        nn.Conv2d(c_out, c_out, 3, padding=1))
        self.skip_connection = nn.Conv2d(c_in, c_out, 1) if c_in != c_out else nn.Identity()
        self.temopral_conv = TemporalConv(c_out, cfg, options)

    def forward(self, x, video):
        shift = self.emb_layers(video.emb).repeat_interleave(len(x) // video.n, 0)
        y = self.in_layers(x) + shift[:, :, None, None]
        return self.temopral_conv(self.skip_connection(x) + self.out_layers(y), video)


class Resample(nn.Module):
    """Halves (key `op`) or doubles (key `conv`) height and width."""

    def __init__(self, c, down):
        super().__init__()
        self.key = "op" if down else "conv"
        self.add_module(self.key, nn.Conv2d(c, c, 3, stride=2 if down else 1, padding=1))

    def forward(self, x, video):
        if self.key == "conv":
            x = F.interpolate(x, scale_factor=2, mode="nearest")
        return getattr(self, self.key)(x)


class FrameConv(nn.Conv2d):
    def forward(self, x, video):
        return super().forward(x)


class Chain(nn.ModuleList):
    def forward(self, x, video):
        for layer in self:
            x = layer(x, video)
        return x


class AveragePool(nn.AdaptiveAvgPool2d):
    """avg_pool2d where the windows are equal: on a CPU 1.7 times as fast, forward and back."""

    def forward(self, x):
        (height, down), (width, across) = (divmod(a, b) for a, b in zip(x.shape[-2:], self.output_size))
        return super().forward(x) if down or across or not height or not width else F.avg_pool2d(x, (height, width))


class EncoderAttention(nn.Module):
    """x + attention(layer norm(x)) of a condition encoder: two heads, each as wide as the input."""

    def __init__(self, c, options):
        super().__init__()
        self.sdpa = options.sdpa
        self.norm = nn.LayerNorm(c)
        self.fn = nn.Module()
        self.fn.to_qkv = nn.Linear(c, 6 * c, bias=False)
        self.fn.to_out = nn.Sequential(nn.Linear(2 * c, c))

    def forward(self, x):
        q, k, v = self.fn.to_qkv(self.norm(x)).unflatten(-1, (3, 2, -1)).permute(2, 0, 3, 1, 4)
        return x + self.fn.to_out(softmax_attention(q, k, v, self.sdpa).transpose(1, 2).flatten(2))


class EncoderTransformer(nn.Module):
    def __init__(self, c, options):
        super().__init__()
        self.layers = nn.ModuleList([nn.ModuleList([EncoderAttention(c, options), Perceptron(c, gated=False)])])

    def forward(self, x):
        attention, perceptron = self.layers[0]
        x = attention(x)
        return perceptron(x) + x


class UNet(nn.Module):
    """noise = UNet(x [n, in_dim, f, h, w], t [n], conditions) -> [n, out_dim, f, h, w]."""

    def __init__(self, cfg=UNetConfig(), options=Options()):
        super().__init__()
        self.cfg, self.options = cfg, options
        wide = 4 * cfg.dim
        self.time_embed = nn.Sequential(nn.Linear(cfg.dim, wide), nn.SiLU(), nn.Linear(wide, wide))
        self.pre_image_condition = nn.Sequential(nn.Linear(cfg.context_dim, cfg.context_dim), nn.SiLU(),
                                                 nn.Linear(cfg.context_dim, cfg.context_dim))
        for condition, (_, channels, convs, after) in ENCODERS.items():
            if condition in cfg.conditions:
                self.add_encoder(channels, convs, after)
        self.build()

    def add_encoder(self, channels, convs, after):
        c = self.cfg.concat_dim
        self.add_module(convs, nn.Sequential(
            nn.Conv2d(channels, 4 * c, 3, padding=1), nn.SiLU(), AveragePool(tuple(self.cfg.stc_size)),
            nn.Conv2d(4 * c, 4 * c, 3, stride=2, padding=1), nn.SiLU(), nn.Conv2d(4 * c, c, 3, stride=2, padding=1)))
        self.add_module(after, EncoderTransformer(c, self.options))

    def stage(self, level, c_in, c_out):
        cfg, options = self.cfg, self.options
        layers = [ResidualBlock(c_in, c_out, cfg, options)]
        if 0.5 ** level in cfg.attn_scales:
            layers += [SpatialTransformer(c_out, cfg, options),
                       TemporalTransformer(c_out, c_out // cfg.head_dim, cfg, options)]
        return layers

    def build(self):
        cfg, options = self.cfg, self.options
        widths = [cfg.dim * m for m in cfg.dim_mult]
        c, skips = cfg.dim, [cfg.dim]
        first = FrameConv(cfg.in_dim + cfg.concat_dim, c, 3, padding=1)
        self.input_blocks = nn.ModuleList([Chain([first, TemporalTransformer(c, cfg.num_heads, cfg, options)])])
        for level, width in enumerate(widths):
            if level:
                self.input_blocks.append(Resample(c, down=True))
                skips.append(c)
            for _ in range(cfg.num_res_blocks):
                self.input_blocks.append(Chain(self.stage(level, c, width)))
                skips.append(width)
                c = width
        self.middle_block = Chain([ResidualBlock(c, c, cfg, options), SpatialTransformer(c, cfg, options),
                                   TemporalTransformer(c, c // cfg.head_dim, cfg, options),
                                   ResidualBlock(c, c, cfg, options)])
        self.output_blocks = nn.ModuleList()
        for level in reversed(range(len(widths))):
            for j in range(cfg.num_res_blocks + 1):
                layers = self.stage(level, c + skips.pop(), widths[level])
                c = widths[level]
                if level and j == cfg.num_res_blocks:
                    layers.append(Resample(c, down=False))
                self.output_blocks.append(Chain(layers))
        self.out = nn.Sequential(nn.GroupNorm(cfg.groups, c), nn.SiLU(), nn.Conv2d(c, cfg.out_dim, 3, padding=1))

    def folded(self, video):
        """[n, c, f, h, w] -> [n f, c, h, w] in the chosen memory format."""
        x = video.transpose(1, 2).flatten(0, 1)
        return x.contiguous(memory_format=torch.channels_last) if self.options.channels_last else x.contiguous()

    def encode(self, condition, video):
        """-> [n f, concat_dim, h, w]."""
        _, _, convs, after = ENCODERS[condition]
        x = getattr(self, convs)(self.folded(video))
        y = in_time(x, len(video)).permute(0, 3, 2, 1)  # [n, pixels, f, c]
        y = getattr(self, after)(y.flatten(0, 1)).unflatten(0, y.shape[:2])
        return out_of_time(y.permute(0, 3, 2, 1), x)

    def forward(self, x, t, y=None, image=None, zero_y=None, **videos):
        """y [n, l, context_dim], zero_y [1, l, context_dim] in its place; image [n, k, context_dim]; videos by the
        arguments named in ENCODERS, [n, channels, f or 1, any height, any width]."""
        n, _, f, h, w = x.shape
        context = zero_y.expand(n, -1, -1) if y is None else y
        if image is not None:
            context = torch.cat([context, self.pre_image_condition(image)], 1)
        concat = x.new_zeros(n, f, self.cfg.concat_dim, h, w)
        for condition, entry in ENCODERS.items():
            if videos.get(entry[0]) is not None:
                concat = concat + self.encode(condition, videos[entry[0]]).unflatten(0, (n, -1))
        return self.denoise(x, t, context, concat.flatten(0, 1))

    def denoise(self, x, t, context, concat, middle=None):
        """What is left when the conditions are encoded: context [n, tokens, context_dim], concat [n f, concat_dim, h, w];
        middle: a list that gets what comes out of the middle block."""
        n, _, f, _, _ = x.shape
        half = self.cfg.dim // 2
        angle = t.to(x)[:, None] * 10000.0 ** (-torch.arange(half, device=x.device).to(x) / half)
        emb = F.silu(self.time_embed(torch.cat([angle.cos(), angle.sin()], 1)))
        video, skips = Video(n, emb, context), []
        x = torch.cat([self.folded(x), concat], 1)
        for block in self.input_blocks:
            x = block(x, video)
            skips.append(x)
        x = self.middle_block(x, video)
        if middle is not None:
            middle.append(x)
        for block in self.output_blocks:
            x = block(torch.cat([x, skips.pop()], 1), video)
        return self.out(x).unflatten(0, (n, f)).transpose(1, 2)


def released_counts(frames=16, height=32, width=32, tokens=77, videos=1, cfg=None):
    """One UNet pass (text and one style token), one decode of its frames."""
    cfg = cfg or UNetConfig(stc_size=(4 * height, 4 * width))
    unet = count(lambda options: UNet(cfg, options), lambda m: m(
        torch.empty(videos, cfg.in_dim, frames, height, width), torch.empty(videos),
        y=torch.empty(videos, tokens, cfg.context_dim), image=torch.empty(videos, 1, cfg.context_dim)))
    vae = count(lambda options: VAE(VAEConfig(), options),
                lambda m: m.decode(torch.empty(videos * frames, 4, height, width)))
    return {"unet": dict(zip(("parameters", "flop"), unet)), "vae_decode": dict(zip(("parameters", "flop"), vae))}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", metavar="DIRECTORY")
    parser.add_argument("--count", action="store_true")
    parser.add_argument("--threads", type=int, default=0, help="default: as many as PyTorch chooses")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    if arguments.count:
        print(json.dumps(released_counts(), indent=1))
    if arguments.check:
        import torch_cases
        return torch_cases.check(arguments.check)
    if not arguments.count:
        parser.print_help()
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
