"""Training of the UNet (bench/torch_model.py): on clips and, in between, on single frames without the layers over time.

What a batch costs on a GPU is mostly fixed, so everything that a step needs stands ready on the device: `Clips` makes
the entries of a pool (stage.py), with latents, pictures and features of three captions; each step takes some of them.
"""
import math
import random

import torch
import torch.nn.functional as F

import captions
import world
from clip import clip_pixels
from stage import Pool, Stage, autocast, compiled, processes, rank, say, signed
from torch_layers import Options
from torch_model import (ENCODERS, Attention, ResidualBlock, SpatialTransformer, TemporalConv, TemporalTransformer,
                         UNet)
from torch_vae import LATENT_SCALE

# how the model is used, in shares of 100 samples: words, style image, video conditions (names of UNetConfig.conditions)
FULL, STILL_WORDS, COLORLESS, NO_WORDS = range(4)
VISUAL = ("depthmap", "sketch", "motion", "mask", "local_image", "single_sketch")
ROLES = [
    (33, FULL, False, ()), (1, COLORLESS, False, ()), (4, NO_WORDS, False, ()),
    (6, STILL_WORDS, False, ("motion",)), (2, NO_WORDS, False, ("motion",)),
    (5, STILL_WORDS, False, ("sketch",)), (1, NO_WORDS, False, ("sketch",)),
    (4, STILL_WORDS, False, ("depthmap",)), (1, NO_WORDS, False, ("depthmap",)),
    (3, FULL, False, ("single_sketch",)), (2, STILL_WORDS, False, ("single_sketch",)),
    (1, NO_WORDS, False, ("single_sketch",)),
    (5, FULL, False, ("local_image",)), (2, STILL_WORDS, False, ("local_image",)), (1, NO_WORDS, False, ("local_image",)),
    (6, STILL_WORDS, False, ("mask",)), (2, NO_WORDS, False, ("mask",)),
    (6, COLORLESS, True, ()), (2, NO_WORDS, True, ()),
    (2, STILL_WORDS, False, ("motion", "local_image")), (2, COLORLESS, True, ("sketch",)),
    (2, COLORLESS, True, ("motion",)), (2, COLORLESS, True, ("depthmap",)),
    (1, FULL, False, ("single_sketch", "motion")),
    (1, STILL_WORDS, False, ("mask", "sketch")), (1, STILL_WORDS, False, ("depthmap", "sketch", "local_image")),
    (2, STILL_WORDS, True, VISUAL)]
FIRST_ONLY = ("local_image", "single_sketch")  # one frame, the same for all
LATENT = world.SIZE // 8
TRACK_WEIGHT = 0.03  # of the throw-away head's error beside the noise's


def roles():
    """The hundred samples of ROLES, each role's spread evenly: -> [(words, style, conditions)]."""
    rng = random.Random(0)
    places = []
    for count, *role in ROLES:
        phase = rng.random()
        places += [((k + phase) / count, tuple(role)) for k in range(count)]
    return [role for _, role in sorted(places, key=lambda place: place[0])]


# ---- the model

def new_unet(cfg):
    """Residual branches end in zeros, as in the released code."""
    model = UNet(cfg, Options())
    ends = {ResidualBlock: lambda m: m.out_layers[-1], SpatialTransformer: lambda m: m.proj_out,
            TemporalTransformer: lambda m: m.proj_out, TemporalConv: lambda m: m.conv4[-1]}
    for module in model.modules():
        if type(module) in ends:
            last = ends[type(module)](module)
            torch.nn.init.zeros_(last.weight)
            torch.nn.init.zeros_(last.bias)
    torch.nn.init.zeros_(model.out[-1].weight)
    return model


def suit(model, device):
    """Attention over 8 frames would leave most of a fused kernel's tile empty: on a GPU it is two products."""
    for module in model.modules():
        if isinstance(module, Attention) and module.time and device == "cuda":
            module.sdpa = False
    return model.to(device)


class Skipped(torch.nn.Module):
    def forward(self, x, video):
        return x


def without_time(model):
    """A network of the same parameters (not copies) that leaves out the layers over time, for single frames."""
    still = UNet(model.cfg, model.options).to(next(model.parameters()).device)
    for a, b in zip(model.modules(), still.modules()):
        b._parameters = a._parameters
    for module in list(still.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, (TemporalConv, TemporalTransformer)):
                module._modules[name] = Skipped()
    return still


@torch.no_grad()
def settle(model, batch):
    """Scales the condition encoders' convolutions so that their outputs have mean 0 and deviation 0.7: they begin near
    0.03, and would be learnt late."""
    for name in VISUAL:
        convs = getattr(model, ENCODERS[name][2])
        code = convs(model.folded(condition(name, batch, slice(None))))
        gain = 0.7 / code.std((0, 2, 3))
        convs[-1].bias.copy_((convs[-1].bias - code.mean((0, 2, 3))) * gain)
        convs[-1].weight *= gain.view(-1, 1, 1, 1)


# ---- clips

class Clips:
    """Makes pool entries; vae, clip and pidinet are the finished networks."""

    def __init__(self, a, generator, vae, clip, pidinet):
        self.a, self.generator, self.vae, self.clip, self.pidinet = a, generator, vae, clip, pidinet
        self.words = captions.Tokenizer()
        self.rng = random.Random(int(torch.randint(1 << 30, (1,), generator=generator)))
        self.empty = self.features([""])[0].float()

    def features(self, texts):
        return self.clip.hidden(self.words(texts).to(self.a.device)).half()

    def sentences(self, scenes, i):
        """By FULL, STILL_WORDS, COLORLESS."""
        return [captions.caption(self.rng, scenes, i), captions.caption(self.rng, scenes, i, moves=False),
                captions.caption(self.rng, scenes, i, colors=False, moves=self.rng.random() < 0.5)]

    @torch.no_grad()
    def __call__(self, n):
        a, g = self.a, self.generator
        scenes = world.draw_scenes(g, n)
        frames, depth, sketch, _ = world.render(scenes, a.device)
        edges = int(0.4 * n + self.rng.random())  # sketches of the network that extracts them; the others are exact
        if edges:
            with autocast(a):
                found = self.pidinet.edges(frames[:edges].flatten(0, 1))
            sketch[:edges] = (255 * found.float()).round().to(torch.uint8).unflatten(0, (edges, -1))
        with autocast(a):
            moments = self.vae.moments(signed(frames.flatten(0, 1)))
        latent = moments.float()[:, :4].unflatten(0, (n, -1)) * LATENT_SCALE
        texts = self.features([text for i in range(n) for text in self.sentences(scenes, i)])
        style = frames[torch.arange(n, device=a.device), torch.randint(world.FRAMES, (n,), device=a.device)]
        codec = (torch.rand(n, generator=g) < 0.5)[:, None, None, None, None]
        motion = torch.where(codec, world.motion_blocks(scenes, g), world.motion_blocks(scenes))
        return {"frames": frames, "depth": depth, "sketch": sketch, "latent": latent, "motion": motion.to(a.device),
                "track": track(scenes).to(a.device),
                "text": texts.unflatten(0, (n, -1)), "style": self.clip.visual(clip_pixels(style)).float()}


def track(scenes):
    """[n, FRAMES, 4]: of the first shape the place (in 16 pixels) and the radius (logarithm) against their means over the
    clip; then 1, or 0 where there is a second shape."""
    path, size = scenes.path[:, 0] / 16, 3 * scenes.radii[:, 0].log()
    alone = (1 - scenes.two).float().view(-1, 1, 1).expand(-1, world.FRAMES, 1)
    return torch.cat([path - path.mean(1, keepdim=True), (size - size.mean(1, keepdim=True))[..., None], alone], 2)


def condition(name, batch, rows):
    """[n, channels, frames, 128, 128] of the batch's rows, in the ranges of the released pipeline."""
    if name in FIRST_ONLY:
        rows = (rows, slice(0, 1))
    if name == "depthmap":                      # inverse depth / 20
        return batch["depth"][rows].float()[:, None] / 127.5
    if name in ("sketch", "single_sketch"):     # bright lines, 0 .. 1
        return batch["sketch"][rows].float()[:, None] / 255
    if name == "motion":                        # pixels since the frame before, in the middle of each block
        return world.motion_field(batch["motion"][rows]).transpose(1, 2)
    frames = batch["frames"][rows].transpose(1, 2)
    if name == "local_image":                   # 0 .. 1
        return frames.float() / 255
    keep = 1 - batch["mask"][:, None, None].expand(-1, -1, frames.shape[2], -1, -1)  # drawn for these rows alone
    return torch.cat([signed(frames) * keep, keep], 1)


class Roles:
    """What the rows of each batch stand for. A batch of n takes n turns of the table (`roles`), so a hundred rows hold it
    all. Shapes do not depend on the batch: of a condition as many rows are encoded as the fullest batch has, and those
    that a batch does not need count nothing.

    There are always 78 tokens. The last is the style image's; in rows without one it is that of the zero image, as in
    the unconditional pass beside a style image, or a second copy of the last padding token: nearly as if there were 77."""

    def __init__(self, n, still, device):
        table, self.batches = roles(), []
        for start in range(0, 100, math.gcd(n, 100)):
            rows = [table[(start + i) % 100] for i in range(n)]
            words = torch.tensor([STILL_WORDS if still and w == FULL else w for w, _, _ in rows])
            style = torch.tensor([s for _, s, _ in rows])
            zero = torch.tensor([(start + i) % 2 == 0 for i in range(n)])
            self.batches.append({"words": words.clamp(max=COLORLESS), "silent": (words == NO_WORDS)[:, None, None],
                                 "style": style.float()[:, None], "token": (style | zero)[:, None],
                                 "having": {name: [i for i, (_, _, c) in enumerate(rows) if name in c]
                                            for name in VISUAL if not (still and name == "motion")}})
        self.counts = {name: max(len(batch["having"][name]) for batch in self.batches)
                       for name in self.batches[0]["having"]}
        for batch in self.batches:
            having = batch.pop("having")
            for name, count in self.counts.items():
                idle = count - len(having[name])
                batch["rows_" + name] = torch.tensor(having[name] + [0] * idle)
                batch["used_" + name] = torch.tensor([1.0] * len(having[name]) + [0.0] * idle).view(-1, 1, 1, 1, 1)
        self.batches = [{key: value.to(device) for key, value in batch.items()} for batch in self.batches]
        self.stride = n // math.gcd(n, 100)

    def at(self, turn):
        return self.batches[turn * self.stride % len(self.batches)]


class Head(torch.nn.Module):
    """A throw-away layer; what comes in is scaled down so far that an optimizer's step changes little."""

    def __init__(self, width):
        super().__init__()
        self.layer = torch.nn.Linear(width, 3)

    def forward(self, x):
        return self.layer(F.layer_norm(x.float(), x.shape[1:]) * x.shape[1] ** -0.5)


class Step(torch.nn.Module):
    """The network on a batch whose rows have roles; conditions: those that some rows have; head: tells the track (above)
    from what comes out of the middle block. -> noise, track [n, frames, 3]."""

    def __init__(self, model, head, empty, conditions):
        super().__init__()
        self.model, self.head, self.conditions = model, head, list(conditions)
        self.register_buffer("empty", empty)

    def forward(self, batch, roles, noisy, t):
        model, (n, _, f) = self.model, noisy.shape[:3]
        text = batch["text"][torch.arange(n, device=noisy.device), roles["words"]].float()
        text = torch.where(roles["silent"], self.empty, text)
        image = model.pre_image_condition(batch["style"] * roles["style"]).float()
        style = torch.where(roles["token"], image, text[:, -1])
        concat = noisy.new_zeros(n, f, model.cfg.concat_dim, LATENT, LATENT)
        for name in self.conditions:
            rows, used = roles["rows_" + name], roles["used_" + name]
            code = model.encode(name, condition(name, batch, rows)).unflatten(0, (len(rows), -1)).float()
            concat = concat.index_add(0, rows, (code * used).expand(-1, f, -1, -1, -1))
        middle = []
        noise = model.denoise(noisy, t, torch.cat([text, style[:, None]], 1), concat.flatten(0, 1), middle)
        return noise, self.head(middle[0].flatten(1)).unflatten(0, (n, f))


def alphas_cumprod(device):
    betas = torch.linspace(0.00085 ** 0.5, 0.0120 ** 0.5, 1000, dtype=torch.float64) ** 2
    return torch.cumprod(1 - betas, 0).float().to(device)


# Mean squared error of the clean latent at some timesteps, single frames, of a model that was far along. Divided by it,
# all timesteps weigh the same; otherwise what nobody can know, where the shape is at first, would weigh most.
ERRORS = {0: 0.004, 150: 0.0144, 300: 0.030, 400: 0.047, 500: 0.068, 600: 0.10, 700: 0.14, 800: 0.21, 900: 0.30, 999: 0.39}


def usual_errors(device):
    """[1000], log-linear between the entries of ERRORS."""
    table, at = list(ERRORS.items()), torch.arange(1000, dtype=torch.float32, device=device)
    out = torch.empty_like(at)
    for (a, low), (b, high) in zip(table, table[1:]):
        rows = (at >= a) & (at <= b)
        out[rows] = low * (high / low) ** ((at[rows] - a) / (b - a))
    return out


def draw_noise(x, alphas, usual):
    """-> noise, noisy latents, timesteps, weights of the squared errors.

    Half of the timesteps are spread evenly, half are near 550, where outlines are decided: earlier a shape is a
    place and a colour, later its outline shows through the noise. At late ones the noise gets an offset of its own for
    each channel, which hides the channels' means: this schedule shows them even at t = 999, where the words must
    supply them."""
    n, device = len(x), x.device
    even = (torch.randperm(n, device=device) + torch.rand(n, device=device)) / n
    near = torch.rand(n, device=device) < 0.5
    even = torch.where(near, (0.55 + 0.15 * 2 ** 0.5 * torch.erfinv(2 * even - 1)) % 1, even)
    t = (1000 * even).long().clamp(0, 999)
    offset = 0.4 * ((t - 300) / 400).clamp(0, 1).view(-1, 1, 1, 1, 1)
    noise = torch.randn_like(x) + offset * torch.randn(n, 4, 1, 1, 1, device=device)
    a = alphas[t].view(-1, 1, 1, 1, 1)
    ratio = (a / (1 - a)).flatten()
    return noise, a.sqrt() * x + (1 - a).sqrt() * noise, t, 0.1 / (ratio * usual[t])


def take(pool, n, still):
    """A random batch: all frames, or one frame of each clip; at clip level for what stands for the whole clip."""
    index = torch.randint(pool.size, (n,), device=pool.data["latent"].device)
    batch = {key: pool.data[key][index] for key in ("text", "style")}
    if still:
        frame = torch.randint(world.FRAMES, (n,), device=index.device)
        batch |= {key: pool.data[key][index, frame][:, None] for key in ("frames", "depth", "sketch", "latent")}
    else:
        batch |= {key: pool.data[key][index] for key in ("frames", "depth", "sketch", "latent", "motion", "track")}
    return batch


class Trainer:
    def __init__(self, a, model, head, pool, empty):
        self.a, self.pool, self.kinds = a, pool, {}
        self.alphas, self.usual = alphas_cumprod(a.device), usual_errors(a.device)
        for still, network, n in ((False, model, a.clips_batch), (True, without_time(model), a.frames_batch)):
            table = Roles(n, still, a.device)
            self.kinds[still] = n, table, compiled(a, Step(network, head, empty, table.counts))

    def loss(self, turn, still):
        """-> the loss, and what is shown of it."""
        n, table, run = self.kinds[still]
        batch, row = take(self.pool, n, still), table.at(turn)
        batch["mask"] = world.masks(table.counts["mask"], self.a.device)
        track = batch.pop("track", None)
        noise, noisy, t, weight = draw_noise(batch.pop("latent").transpose(1, 2), self.alphas, self.usual)
        with autocast(self.a):
            guess, moved = run(batch, row, noisy, t)
        error = ((guess.float() - noise).pow(2).mean((1, 2, 3, 4)) * weight).mean()
        if still:
            return error, {"frames": error}
        lost = ((moved.float() - track[..., :3]).pow(2) * track[..., 3:]).mean()
        return error + TRACK_WEIGHT * lost, {"clips": error, "track": lost}


def hidden_matrix(name, p):
    """Neither vectors nor the first and the last layer."""
    return p.dim() > 1 and not name.startswith(("input_blocks.0.0.", "out.", "layer."))


def train(a, minutes, cfg, start, vae, clip, pidinet):
    """cfg: UNetConfig; start: state dict to begin with, or None."""
    model = suit(new_unet(cfg), a.device)
    if start is not None:
        model.load_state_dict(start)
    narrowest = LATENT >> (len(cfg.dim_mult) - 1)
    head = Head(cfg.dim * cfg.dim_mult[-1] * narrowest ** 2).to(a.device)
    stage = Stage(a, "unet", {"model": model, "head": head}, a.rate, minutes, warmup=200, average="model",
                  decay=a.decay, by_muon=hidden_matrix)
    if stage.done:
        return
    say(f"unet: {sum(p.numel() for p in model.parameters())} parameters; drawing {a.pool} clips")
    make = Clips(a, stage.generator, vae, clip, pidinet)
    pool = Pool(make, a.pool, a.pool_part)
    if start is None and stage.step == 0:
        batch = {key: value[:32] for key, value in pool.data.items()}
        settle(model, batch | {"mask": world.masks(len(batch["latent"]), a.device)})
        stage.modules["average"].load_state_dict(model.state_dict())
    trainer, chance = Trainer(a, model, head, pool, make.empty), random.Random(stage.step)
    first, last = a.still_share
    for progress in stage:
        if stage.step % a.refresh_every == 0:
            pool.refresh(a.refresh)
        still = chance.random() < first + (last - first) * progress
        loss, shown = trainer.loss(stage.step * processes() + rank(), still)
        stage.update(loss, **shown)
