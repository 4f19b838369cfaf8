"""Words for the scenes of world.py, and CLIP's byte-pair tokens of them."""
import gzip
import re
from functools import lru_cache
from pathlib import Path

import torch

from world import BACKDROPS, COLORS, MOTIONS, SHAPES, STRAIGHT, SURFACES

VOCABULARY = Path(__file__).resolve().parents[2] / "third_party/clip/bpe_simple_vocab_16e6.txt.gz"
START, END, CONTEXT = 49406, 49407, 77
COLOR, BACKDROP = list(COLORS), list(BACKDROPS)


# ---- words

def pick(rng, *choices):
    return choices[int(rng.random() * len(choices))]


def movement(rng, motion, speed, plain):
    name = MOTIONS[motion]
    if motion < STRAIGHT:
        how = "slowly " if speed < 5 else "quickly " if speed > 8.5 else ""
        how = how if not plain and rng.random() < 0.4 else ""
        return f"{'moving' if plain else pick(rng, 'moving', 'moving', 'going', 'sliding')} {how}{name}"
    if name == "still":
        return "standing still" if plain else pick(rng, "standing still", "resting", "not moving")
    return pick(rng, "circling", "going around in a circle") if name == "circling" and not plain else name


def thing(rng, scenes, i, slot, colors, moves, plain=False):
    radius = float(scenes.radii[i, slot].mean())
    size = "big " if radius > 32 else "small " if radius < 25 else ""
    size = size if not plain and rng.random() < 0.3 else ""
    color = COLOR[scenes.color[i, slot]] + " " if colors else ""
    does = " " + movement(rng, scenes.motion[i, slot], float(scenes.speed[i, slot]), plain) if moves else ""
    article = "an" if (size + color).startswith("orange") else "a"
    return f"{article} {size}{color}{SHAPES[scenes.shape[i, slot]]}{does}"


def caption(rng, scenes, i, colors=True, moves=True):
    """What clip i shows; `colors` False leaves the colours and the backdrop out, `moves` False what happens."""
    things = [thing(rng, scenes, i, slot, colors, moves) for slot in range(1 + int(scenes.two[i]))]
    if len(things) == 2 and rng.random() < 0.5:
        things.reverse()
    what = " and ".join(things)
    if not colors:
        return what
    surface = SURFACES[scenes.surface[i]] + " " if rng.random() < 0.25 else ""
    where = surface + BACKDROP[scenes.backdrop[i]]
    return pick(rng, f"{what} over a {where} background", f"{what} over a {where} background",
                f"{what} on a {where} background", f"{what}, {where} background", f"{what} in front of a {where} wall")


def plain_caption(scenes, i, moves):
    """The one that measurements use: first shape, colour, backdrop."""
    return f"{thing(None, scenes, i, 0, True, moves, plain=True)} over a {BACKDROP[scenes.backdrop[i]]} background"


# ---- tokens

def byte_names():
    """The printable stand-in of each byte, as GPT-2 chose them."""
    named = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [b for b in range(256) if b not in named]
    return {**{b: chr(b) for b in named}, **{b: chr(256 + k) for k, b in enumerate(others)}}, named + others


class Tokenizer:
    """CLIP's, for plain lower-case English: words, numbers and marks; longer texts are cut."""

    def __init__(self, path=VOCABULARY):
        names, order = byte_names()
        letters = [names[b] for b in order]
        lines = gzip.open(path, "rt", encoding="utf-8").read().split("\n")[1:49152 - 256 - 2 + 1]
        merges = [tuple(line.split()) for line in lines]
        tokens = letters + [c + "</w>" for c in letters] + ["".join(m) for m in merges]
        self.number = {token: k for k, token in enumerate(tokens)}
        self.rank = {merge: k for k, merge in enumerate(merges)}
        self.names = names
        self.word = lru_cache(None)(self.split_word)

    def split_word(self, word):
        parts = [self.names[b] for b in word.encode()]
        parts[-1] += "</w>"
        while len(parts) > 1:
            rank, k = min((self.rank.get(pair, 1 << 30), k) for k, pair in enumerate(zip(parts, parts[1:])))
            if rank == 1 << 30:
                break
            parts[k:k + 2] = ["".join(parts[k:k + 2])]
        return [self.number[part] for part in parts]

    def __call__(self, texts):
        """-> int64 [n, CONTEXT], padded with 0."""
        out = torch.zeros(len(texts), CONTEXT, dtype=torch.long)
        for row, text in zip(out, texts):
            words = re.findall(r"[a-z]+|[0-9]|[^\sa-z0-9]+", text.lower())
            ids = [START] + [k for word in words for k in self.word(word)][:CONTEXT - 2] + [END]
            row[:len(ids)] = torch.tensor(ids)
        return out
