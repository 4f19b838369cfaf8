"""Training of the UNet (bench/torch_model.py): on clips and, in between, on single frames without the layers over time.

What a batch costs on a GPU is mostly fixed, so everything that a step needs stands ready on the device: `Clips` makes
the entries of a pool (stage.py), with latents, pictures and features of three captions; each step takes some of them.
"""
import random

import torch

import captions
import world
from clip import clip_pixels
from stage import Pool, Stage, autocast, compiled, say, signed
from torch_layers import Options
from torch_model import (ENCODERS, Attention, ResidualBlock, SpatialTransformer, TemporalConv, TemporalTransformer,
                         UNet)
from torch_vae import LATENT_SCALE

# how the model is used, in shares of 100 samples: words, style image, video conditions (names of UNetConfig.conditions)
FULL, STILL_WORDS, COLORLESS, NO_WORDS = range(4)
VISUAL = ("depthmap", "sketch", "motion", "mask", "local_image", "single_sketch")
ROLES = [
    (27, FULL, False, ()), (3, COLORLESS, False, ()), (5, NO_WORDS, False, ()),
    (6, STILL_WORDS, False, ("motion",)), (2, NO_WORDS, False, ("motion",)),
    (5, STILL_WORDS, False, ("sketch",)), (1, NO_WORDS, False, ("sketch",)),
    (4, STILL_WORDS, False, ("depthmap",)), (1, NO_WORDS, False, ("depthmap",)),
    (3, FULL, False, ("single_sketch",)), (2, STILL_WORDS, False, ("single_sketch",)),
    (1, NO_WORDS, False, ("single_sketch",)),
    (5, FULL, False, ("local_image",)), (2, STILL_WORDS, False, ("local_image",)), (1, NO_WORDS, False, ("local_image",)),
    (6, STILL_WORDS, False, ("mask",)), (2, NO_WORDS, False, ("mask",)),
    (8, COLORLESS, True, ()), (2, NO_WORDS, True, ()),
    (2, STILL_WORDS, False, ("motion", "local_image")), (2, COLORLESS, True, ("sketch",)),
    (2, COLORLESS, True, ("motion",)), (2, COLORLESS, True, ("depthmap",)),
    (1, FULL, False, ("single_sketch", "motion")),
    (1, STILL_WORDS, False, ("mask", "sketch")), (1, STILL_WORDS, False, ("depthmap", "sketch", "local_image")),
    (3, STILL_WORDS, True, VISUAL)]
FIRST_ONLY = ("local_image", "single_sketch")  # one frame, the same for all
LATENT = world.SIZE // 8


def roles():
    """The hundred samples of ROLES in a mixed order: -> [(words, style, conditions)]."""
    table = [role[1:] for role in ROLES for _ in range(role[0])]
    random.Random(0).shuffle(table)
    return table


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
                "text": texts.unflatten(0, (n, -1)), "style": self.clip.visual(clip_pixels(style)).float()}


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


class Step(torch.nn.Module):
    """The network on a batch whose rows have fixed roles, so that shapes and row numbers are constants when compiled.

    There are always 78 tokens. The last is the style image's; in rows without one it is that of the zero image, as in
    the unconditional pass beside a style image, or a second copy of the last padding token: nearly as if there were 77."""

    def __init__(self, model, empty, table, still):
        super().__init__()
        self.model = model
        words = torch.tensor([STILL_WORDS if still and w == FULL else w for w, _, _ in table])
        silent = words == NO_WORDS
        style = torch.tensor([s for _, s, _ in table])
        zero = torch.tensor([(i + i // 100) % 2 == 0 for i in range(len(table))])
        for name, value in (("words", words.clamp(max=COLORLESS)), ("silent", silent[:, None, None]),
                            ("style", style.float()[:, None]), ("token", (style | zero)[:, None]), ("empty", empty)):
            self.register_buffer(name, value.to(empty.device))
        self.rows = [name for name in VISUAL if self.having(table, name) and not (still and name == "motion")]
        for name in self.rows:
            self.register_buffer("rows_" + name, torch.tensor(self.having(table, name), device=empty.device))

    @staticmethod
    def having(table, name):
        return [i for i, (_, _, names) in enumerate(table) if name in names]

    def forward(self, batch, noisy, t):
        model, (n, _, f) = self.model, noisy.shape[:3]
        text = batch["text"][torch.arange(n, device=noisy.device), self.words].float()
        text = torch.where(self.silent, self.empty, text)
        style = torch.where(self.token, model.pre_image_condition(batch["style"] * self.style).float(), text[:, -1])
        concat = noisy.new_zeros(n, f, model.cfg.concat_dim, LATENT, LATENT)
        for name in self.rows:
            rows = getattr(self, "rows_" + name)
            code = model.encode(name, condition(name, batch, rows)).unflatten(0, (len(rows), -1)).float()
            concat = concat.index_add(0, rows, code.expand(-1, f, -1, -1, -1))
        return model.denoise(noisy, t, torch.cat([text, style[:, None]], 1), concat.flatten(0, 1))


def alphas_cumprod(device):
    betas = torch.linspace(0.00085 ** 0.5, 0.0120 ** 0.5, 1000, dtype=torch.float64) ** 2
    return torch.cumprod(1 - betas, 0).float().to(device)


def draw_noise(x, alphas):
    """-> noise, noisy latents, timesteps, weights of the squared errors.

    Late timesteps come up more often. There the noise gets an offset of its own for each channel, which hides the
    channels' means: this schedule shows them even at t = 999, where the words must supply them. In terms of the
    clean latent's error the weight is the signal-to-noise ratio within 1/4 and 5: what is where is decided where
    the predicted noise hardly shows it."""
    n, device = len(x), x.device
    t = (1000 * torch.rand(n, device=device) ** 0.7).long().clamp(max=999)
    offset = 0.4 * ((t - 300) / 400).clamp(0, 1).view(-1, 1, 1, 1, 1)
    noise = torch.randn_like(x) + offset * torch.randn(n, 4, 1, 1, 1, device=device)
    a = alphas[t].view(-1, 1, 1, 1, 1)
    ratio = (a / (1 - a)).flatten()
    return noise, a.sqrt() * x + (1 - a).sqrt() * noise, t, ratio.clamp(0.25, 5) / ratio


def take(pool, n, still):
    """A random batch: all frames, or one frame of each clip; at clip level for what stands for the whole clip."""
    index = torch.randint(pool.size, (n,), device=pool.data["latent"].device)
    batch = {key: pool.data[key][index] for key in ("text", "style")}
    if still:
        frame = torch.randint(world.FRAMES, (n,), device=index.device)
        batch |= {key: pool.data[key][index, frame][:, None] for key in ("frames", "depth", "sketch", "latent")}
    else:
        batch |= {key: pool.data[key][index] for key in ("frames", "depth", "sketch", "latent", "motion")}
    return batch


class Trainer:
    def __init__(self, a, model, pool, empty):
        self.a, self.pool, self.empty, self.alphas = a, pool, empty, alphas_cumprod(a.device)
        self.table, self.models, self.steps = roles(), {False: model, True: without_time(model)}, {}

    def step(self, at, n, still):
        """What has the turn of the at-th batch: small batches go through the table, large ones hold it all."""
        start = at * n % 100 if n < 100 else 0
        if (start, still) not in self.steps:
            table = [self.table[(start + i) % 100] for i in range(n)]
            step = Step(self.models[still], self.empty, table, still)
            self.steps[start, still] = step, compiled(self.a, step)
        return self.steps[start, still]

    def loss(self, at, still):
        n = self.a.frames_batch if still else self.a.clips_batch
        step, run = self.step(at, n, still)
        batch = take(self.pool, n, still)
        if "mask" in step.rows:
            batch["mask"] = world.masks(len(step.rows_mask), self.a.device)
        noise, noisy, t, weight = draw_noise(batch.pop("latent").transpose(1, 2), self.alphas)
        with autocast(self.a):
            guess = run(batch, noisy, t)
        error = (guess.float() - noise).pow(2).mean((1, 2, 3, 4))
        return (error * weight).mean(), error.mean()


def train(a, minutes, cfg, start, vae, clip, pidinet):
    """cfg: UNetConfig; start: state dict to begin with, or None."""
    model = suit(new_unet(cfg), a.device)
    if start is not None:
        model.load_state_dict(start)
    stage = Stage(a, "unet", {"model": model}, a.rate, minutes, warmup=200, average="model", decay=a.decay)
    if stage.done:
        return
    say(f"unet: {sum(p.numel() for p in model.parameters())} parameters; drawing {a.pool} clips")
    make = Clips(a, stage.generator, vae, clip, pidinet)
    pool = Pool(make, a.pool, a.pool_part)
    if start is None and stage.step == 0:
        batch = {key: value[:32] for key, value in pool.data.items()}
        settle(model, batch | {"mask": world.masks(len(batch["latent"]), a.device)})
        stage.modules["average"].load_state_dict(model.state_dict())
    trainer, chance = Trainer(a, model, pool, make.empty), random.Random(stage.step)
    for progress in stage:
        if stage.step % a.refresh_every == 0:
            pool.refresh(a.refresh)
        still = chance.random() < a.still_share * (1 - 0.7 * progress)
        loss, error = trainer.loss(stage.step, still)
        stage.update(loss, **{"frames" if still else "clips": error})
