"""Training of CLIP's two towers (bench/torch_clip.py) on frames and captions."""
import random
from dataclasses import asdict

import torch
import torch.nn.functional as F
from torch import nn

import captions
from stage import Stage, autocast
from torch_clip import Clip, ClipConfig, ImageConfig, TextConfig
from world import BACKDROPS, COLORS, MOTIONS, SHAPES, draw_scenes, render

MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
SMALL = ClipConfig(64, TextConfig(width=64, heads=4, layers=4),
                   ImageConfig(width=64, heads=4, layers=4, patch=8, size=64))


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
        self.clip, cfg = Clip(SMALL), SMALL
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
    return {**asdict(SMALL), "text_layer": "penultimate", "pad_token": 0}
