"""OpenCLIP's two towers in PyTorch 2.x, with the keys of its checkpoints."""
import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from torch_layers import Options, softmax_attention


@dataclass(frozen=True)
class TextConfig:
    width: int = 1024
    heads: int = 16
    layers: int = 24
    vocab: int = 49408
    context: int = 77


@dataclass(frozen=True)
class ImageConfig:
    width: int = 1280
    heads: int = 16
    layers: int = 32
    patch: int = 14
    size: int = 224


@dataclass(frozen=True)
class ClipConfig:
    """The defaults are ViT-H/14."""
    embed_dim: int = 1024
    text: TextConfig = TextConfig()
    image: ImageConfig = ImageConfig()


class Attention(nn.Module):
    def __init__(self, width, heads, options):
        super().__init__()
        self.heads, self.sdpa, self.out_proj = heads, options.sdpa, nn.Linear(width, width)
        self.in_proj_weight = nn.Parameter(torch.randn(3 * width, width) * width ** -0.5)
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))

    def forward(self, x, causal):
        q, k, v = F.linear(x, self.in_proj_weight, self.in_proj_bias).unflatten(-1, (3, self.heads, -1)).permute(
            2, 0, 3, 1, 4)
        return self.out_proj(softmax_attention(q, k, v, self.sdpa, causal).transpose(1, 2).flatten(2))


class Block(nn.Module):
    def __init__(self, width, heads, layers, options):
        super().__init__()
        self.ln_1, self.ln_2, self.attn = nn.LayerNorm(width), nn.LayerNorm(width), Attention(width, heads, options)
        self.mlp = nn.Module()
        self.mlp.c_fc, self.mlp.c_proj = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        for last in (self.attn.out_proj, self.mlp.c_proj):  # the deeper, the smaller, as CLIP begins
            nn.init.normal_(last.weight, std=(2 * layers * width) ** -0.5)
            nn.init.zeros_(last.bias)

    def forward(self, x, causal):
        x = x + self.attn(self.ln_1(x), causal)
        return x + self.mlp.c_proj(F.gelu(self.mlp.c_fc(self.ln_2(x))))


def tower(cfg, options):
    stack = nn.Module()
    stack.resblocks = nn.ModuleList([Block(cfg.width, cfg.heads, cfg.layers, options) for _ in range(cfg.layers)])
    return stack


class Visual(nn.Module):
    def __init__(self, cfg, options):
        super().__init__()
        image, self.channels_last = cfg.image, options.channels_last
        width, places = image.width, (image.size // image.patch) ** 2 + 1
        self.conv1 = nn.Conv2d(3, width, image.patch, image.patch, bias=False)
        self.class_embedding = nn.Parameter(torch.randn(width) * width ** -0.5)
        self.positional_embedding = nn.Parameter(torch.randn(places, width) * width ** -0.5)
        self.ln_pre, self.ln_post, self.transformer = nn.LayerNorm(width), nn.LayerNorm(width), tower(image, options)
        self.proj = nn.Parameter(torch.randn(width, cfg.embed_dim) * width ** -0.5)

    def forward(self, pixels):
        """[n, 3, size, size], normalised -> features [n, embed_dim], not normalised."""
        if self.channels_last:
            pixels = pixels.contiguous(memory_format=torch.channels_last)
        x = self.conv1(pixels).flatten(2).transpose(1, 2)
        x = torch.cat([self.class_embedding.expand(len(x), 1, -1), x], 1) + self.positional_embedding
        x = self.ln_pre(x)
        for block in self.transformer.resblocks:
            x = block(x, False)
        return self.ln_post(x[:, 0]) @ self.proj


class Clip(nn.Module):
    """parts: `text`, `image` or both."""

    def __init__(self, cfg=ClipConfig(), options=Options(), parts=("text", "image")):
        super().__init__()
        self.options = options
        if "image" in parts:
            self.visual = Visual(cfg, options)
        if "text" in parts:
            width = cfg.text.width
            self.transformer = tower(cfg.text, options)
            self.token_embedding = nn.Embedding(cfg.text.vocab, width)
            nn.init.normal_(self.token_embedding.weight, std=0.05)
            self.positional_embedding = nn.Parameter(torch.randn(cfg.text.context, width) * 0.02)
            self.ln_final = nn.LayerNorm(width)
            self.text_projection = nn.Parameter(torch.randn(width, cfg.embed_dim) * width ** -0.5)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    def before_last(self, tokens):
        """[n, l] -> what the last block gets, [n, l, width]."""
        x = self.token_embedding(tokens) + self.positional_embedding[:tokens.shape[1]]
        for block in self.transformer.resblocks[:-1]:
            x = block(x, True)
        return x

    def text(self, tokens):
        """-> all tokens after the last block but one (what the UNet sees) and after the last, each [n, l, width]."""
        before = self.before_last(tokens)
        return self.ln_final(before), self.ln_final(self.transformer.resblocks[-1](before, True))

    @torch.no_grad()
    def hidden(self, tokens):
        return self.ln_final(self.before_last(tokens))
