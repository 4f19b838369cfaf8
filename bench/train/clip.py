"""CLIP's two towers in PyTorch, with the keys of OpenCLIP's checkpoints, and their training on frames and captions."""
import math
import random
from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import nn

import captions
from stage import Stage, autocast
from world import BACKDROPS, COLORS, MOTIONS, SHAPES, draw_scenes, render

MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True)
class TowerConfig:
    width: int = 64
    heads: int = 4
    layers: int = 4


@dataclass(frozen=True)
class ClipConfig:
    embed_dim: int = 64
    vocab: int = 49408
    context: int = 77
    patch: int = 8
    size: int = 64
    text: TowerConfig = TowerConfig()
    image: TowerConfig = TowerConfig()


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads, self.out_proj = heads, nn.Linear(width, width)
        self.in_proj_weight = nn.Parameter(torch.randn(3 * width, width) * width ** -0.5)
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))

    def forward(self, x, causal):
        q, k, v = F.linear(x, self.in_proj_weight, self.in_proj_bias).unflatten(-1, (3, self.heads, -1)).permute(
            2, 0, 3, 1, 4)
        return self.out_proj(F.scaled_dot_product_attention(q, k, v, is_causal=causal).transpose(1, 2).flatten(2))


class Block(nn.Module):
    def __init__(self, width, heads, layers):
        super().__init__()
        self.ln_1, self.ln_2, self.attn = nn.LayerNorm(width), nn.LayerNorm(width), Attention(width, heads)
        self.mlp = nn.Module()
        self.mlp.c_fc, self.mlp.c_proj = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        for last in (self.attn.out_proj, self.mlp.c_proj):  # the deeper, the smaller, as CLIP begins
            nn.init.normal_(last.weight, std=(2 * layers * width) ** -0.5)
            nn.init.zeros_(last.bias)

    def forward(self, x, causal):
        x = x + self.attn(self.ln_1(x), causal)
        return x + self.mlp.c_proj(F.gelu(self.mlp.c_fc(self.ln_2(x))))


def tower(cfg):
    stack = nn.Module()
    stack.resblocks = nn.ModuleList([Block(cfg.width, cfg.heads, cfg.layers) for _ in range(cfg.layers)])
    return stack


class Visual(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        width = cfg.image.width
        self.conv1 = nn.Conv2d(3, width, cfg.patch, cfg.patch, bias=False)
        self.class_embedding = nn.Parameter(torch.randn(width) * width ** -0.5)
        self.positional_embedding = nn.Parameter(torch.randn((cfg.size // cfg.patch) ** 2 + 1, width) * width ** -0.5)
        self.ln_pre, self.ln_post, self.transformer = nn.LayerNorm(width), nn.LayerNorm(width), tower(cfg.image)
        self.proj = nn.Parameter(torch.randn(width, cfg.embed_dim) * width ** -0.5)

    def forward(self, pixels):
        x = self.conv1(pixels).flatten(2).transpose(1, 2)
        x = torch.cat([self.class_embedding.expand(len(x), 1, -1), x], 1) + self.positional_embedding
        x = self.ln_pre(x)
        for block in self.transformer.resblocks:
            x = block(x, False)
        return self.ln_post(x[:, 0]) @ self.proj


class Clip(nn.Module):
    def __init__(self, cfg=ClipConfig()):
        super().__init__()
        width = cfg.text.width
        self.visual, self.transformer = Visual(cfg), tower(cfg.text)
        self.token_embedding = nn.Embedding(cfg.vocab, width)
        nn.init.normal_(self.token_embedding.weight, std=0.05)
        self.positional_embedding = nn.Parameter(torch.randn(cfg.context, width) * 0.02)
        self.ln_final = nn.LayerNorm(width)
        self.text_projection = nn.Parameter(torch.randn(width, cfg.embed_dim) * width ** -0.5)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    def text(self, tokens):
        """-> all tokens after the last block but one (what the UNet sees) and after the last, each [n, l, width]."""
        x = self.token_embedding(tokens) + self.positional_embedding[:tokens.shape[1]]
        for block in self.transformer.resblocks:
            before, x = x, block(x, True)
        return self.ln_final(before), self.ln_final(x)

    @torch.no_grad()
    def hidden(self, tokens):
        return self.text(tokens)[0]


def clip_pixels(frames):
    """uint8 [n, 3, 128, 128] -> [n, 3, 64, 64]: halved by a box, as style frames are, then normalised."""
    x = F.avg_pool2d(frames.float() / 255, 2)
    mean, std = (torch.tensor(v, device=x.device).view(3, 1, 1) for v in (MEAN, STD))
    return (x - mean) / std


def same_picture(scenes):
    """[n, n]: which captions fit which frames: those of the same colour, shape and backdrop (shares of 1 a row)."""
    key = (scenes.color[:, 0] * len(SHAPES) + scenes.shape[:, 0]) * len(BACKDROPS) + scenes.backdrop
    same = (key[:, None] == key).float()
    return same / same.sum(1, keepdim=True)


class Training(nn.Module):
    """The towers with throw-away heads: features must name colour, shape and backdrop, those of the text (the layer that
    the UNet sees) the motion too."""

    def __init__(self):
        super().__init__()
        self.clip, cfg = Clip(), ClipConfig()
        self.sizes = (len(COLORS), len(SHAPES), len(BACKDROPS), len(MOTIONS))
        self.text_head = nn.Linear(cfg.text.width, sum(self.sizes))
        self.image_head = nn.Linear(cfg.embed_dim, sum(self.sizes[:3]))

    def forward(self, tokens, pixels, last, truth, pairs):
        before, after = self.clip.text(tokens)
        row = torch.arange(len(tokens), device=tokens.device)
        text = F.normalize((after[row, last] @ self.clip.text_projection).float(), dim=-1)
        feature = self.clip.visual(pixels).float()
        scores = self.clip.logit_scale.exp().clamp(max=60) * text @ F.normalize(feature, dim=-1).T
        contrast = 0.5 * (F.cross_entropy(scores, pairs) + F.cross_entropy(scores.T, pairs))
        named = [*self.text_head(before[row, last]).float().split(self.sizes, -1),
                 *self.image_head(feature).split(self.sizes[:3], -1)]
        answers = [*truth.unbind(1), *truth[:, :3].unbind(1)]
        extra = sum(F.cross_entropy(a, b) for a, b in zip(named, answers))
        right = [(a.argmax(1) == b).float().mean() for a, b in zip(named, answers)]
        return contrast + 0.3 * extra, contrast, right[1], right[3], right[5]


def train(a, minutes):
    model = Training().to(a.device)
    stage = Stage(a, "clip", {"model": model}, 1e-3, minutes, average="model", weight_decay=1e-2)
    if stage.done:
        return
    words, rng, n = captions.Tokenizer(), random.Random(stage.step), a.clip_batch
    scenes, frames, used = None, None, 0
    for _ in stage:
        if used % 8 == 0:  # new clips; eight steps with other frames and other words of them
            scenes = draw_scenes(stage.generator, n)
            frames = torch.cat([render(scenes.take(slice(k, k + 32)), a.device)[0][:, ::2] for k in range(0, n, 32)])
            truth = torch.stack([scenes.color[:, 0], scenes.shape[:, 0], scenes.backdrop, scenes.motion[:, 0]], 1)
            truth, pairs = truth.to(a.device), same_picture(scenes).to(a.device)
        used += 1
        tokens = words([captions.caption(rng, scenes, i) for i in range(n)])
        last = tokens.argmax(1).to(a.device)
        tokens = tokens[:, :32].to(a.device)  # longer captions do not exist, and later tokens are not seen by earlier
        pixels = clip_pixels(frames[torch.arange(n, device=a.device), torch.randint(4, (n,), device=a.device)])
        with autocast(a):
            loss, contrast, shape, motion, seen = model(tokens, pixels, last, truth, pairs)
        stage.update(loss, contrast=contrast, said_shape=shape, said_motion=motion, seen_shape=seen)


def config():
    cfg = asdict(ClipConfig())
    return {"embed_dim": cfg["embed_dim"], "text": {**cfg["text"], "vocab": cfg["vocab"], "context": cfg["context"]},
            "image": {**cfg["image"], "patch": cfg["patch"], "size": cfg["size"]}, "text_layer": "penultimate",
            "pad_token": 0}
