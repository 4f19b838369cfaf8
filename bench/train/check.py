#!/usr/bin/env python3
"""Is what the engine computes with a trained model what PyTorch computes? Writes cases of its networks and runs them.

    check.py --model build/mini --engine build/videocomposer

The cases (videocomposer-case/1) are made of scenes of the world: every network, the UNet with each condition, and
DDIM from noise to the clip's latent with guidance. `verify` compares, in float32.
"""
import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import torch                                                          # noqa: E402

import captions                                                       # noqa: E402
import world                                                          # noqa: E402
from clip import clip_pixels                                          # noqa: E402
from denoiser import VISUAL, alphas_cumprod, condition                # noqa: E402
from evaluate import write_tensors                                    # noqa: E402
from stage import read_weights, signed                                # noqa: E402
from torch_cases import config_of                                     # noqa: E402
from torch_clip import Clip, ClipConfig                               # noqa: E402
from torch_layers import Options, arrange                             # noqa: E402
from torch_midas import UNIT, Midas, MidasConfig                      # noqa: E402
from torch_model import ENCODERS, UNet, UNetConfig                    # noqa: E402
from torch_vae import LATENT_SCALE, VAE, VAEConfig                    # noqa: E402

TOLERANCE = 1e-4  # relative L2


def timesteps(steps):
    return [min(1 + k * (1000 // steps), 999) for k in reversed(range(1000 // (1000 // steps)))]


def ddim(model, x, steps, guidance, given, free, alphas):
    """given and free: the arguments of the conditional and of the unconditional pass."""
    stride = 1000 // steps
    for t in timesteps(steps):
        now = torch.full((len(x),), float(t))
        noise = model(x, now, **free)
        noise = noise + guidance * (model(x, now, **given) - noise)
        a, b = alphas[t], alphas[max(t - stride, 0)]
        x = b.sqrt() * (x - (1 - a).sqrt() * noise) / a.sqrt() + (1 - b).sqrt() * noise
    return x


class Cases:
    def __init__(self, model, folder):
        self.model, self.folder, self.paths = model, folder, []
        self.config = json.loads((model / "model.json").read_text())

    def load(self, network, part):
        network.load_state_dict(read_weights(self.model / (part + ".safetensors")))
        (self.folder / (part + ".safetensors")).symlink_to((self.model / (part + ".safetensors")).resolve())
        return arrange(network)

    def add(self, name, network, part, config, inputs, outputs):
        path = self.folder / f"case_{name}.safetensors"
        tensors = {"input/" + key: value for key, value in inputs.items()}
        tensors |= {"output/" + key: value for key, value in outputs.items()}
        metadata = {"format": "videocomposer-case/1", "network": network, "config": json.dumps(config),
                    "weights": part + ".safetensors", "tolerance": str(TOLERANCE)}
        write_tensors(path, tensors, metadata)
        self.paths.append(path)


@torch.no_grad()
def write_cases(c, n=1):
    config, g = c.config, torch.Generator().manual_seed(7)
    scenes = world.draw_scenes(g, n)
    frames, depth, sketch, _ = world.render(scenes)
    batch = {"frames": frames, "depth": depth, "sketch": sketch, "motion": world.motion_blocks(scenes),
             "mask": world.halves(torch.zeros(n, dtype=torch.long))}
    words = captions.Tokenizer()
    tokens = words([captions.plain_caption(scenes, i, True) for i in range(n)] + [""])

    clip = c.load(Clip(config_of(ClipConfig, config["clip"])), "clip")
    hidden, after = clip.text(tokens)
    row = torch.arange(len(tokens))
    c.add("text", "clip_text", "clip", config["clip"], {"tokens": tokens},
          {"hidden": hidden, "pooled": after[row, tokens.argmax(1)] @ clip.text_projection})
    pixels = clip_pixels(frames[:, 4])
    style = clip.visual(pixels)
    c.add("image", "clip_image", "clip", config["clip"], {"pixels": pixels}, {"features": style})

    vae_config = {k: v for k, v in config["vae"].items() if k != "scale_factor"}
    vae = c.load(VAE(config_of(VAEConfig, vae_config), Options()), "vae")
    image = signed(frames[0])
    noise = torch.randn(8, 4, 16, 16, generator=g)
    c.add("encoder", "vae_encoder", "vae", vae_config, {"image": image, "noise": noise},
          dict(zip(("moments", "mean", "logvar", "latent"), vae.encode(image, noise))))
    latent = vae.moments(image)[:, :4] * LATENT_SCALE
    c.add("decoder", "vae_decoder", "vae", vae_config, {"latent": latent}, {"image": vae.decode(latent)})

    if (c.model / "midas.safetensors").exists():
        midas = c.load(Midas(config_of(MidasConfig, config["midas"])), "midas")
        raw = midas(image)[:, None]
        c.add("midas", "midas", "midas", config["midas"], {"frames": (image + 1) / 2},
              {"raw": raw, "depth": (raw / UNIT).clamp(0, 10)})

    unet = c.load(UNet(config_of(UNetConfig, config["unet"]), Options()), "unet")
    x, t = torch.randn(n, 4, 8, 16, 16, generator=g), torch.full((n,), 601.0)
    y, zero_y, image = hidden[:n], hidden[n:], style[:, None]
    videos = {ENCODERS[name][0]: condition(name, batch, slice(0, n)).expand(-1, -1, 8, -1, -1) for name in VISUAL}
    for name, extra in {"words": {}, "style": {"image": image}, **{k: {k: v} for k, v in videos.items()},
                        "all": {"image": image, **videos}}.items():
        c.add("unet_" + name, "unet", "unet", config["unet"], {"x": x, "t": t, "y": y, **extra},
              {"out": unet(x, t, y=y, **extra)})
    for name, extra in (("depth", {"depth": videos["depth"]}), ("style", {"image": image})):
        free = {**extra, **({"image": torch.zeros_like(image)} if "image" in extra else {})}
        out = ddim(unet, x, 25, 3.0, {"y": y, **extra}, {"y": zero_y, **free}, alphas_cumprod("cpu"))
        c.add("ddim_" + name, "ddim", "unet", {"unet": config["unet"], "steps": 25, "guidance": 3.0, "eta": 0.0},
              {"x": x, "y": y, "zero_y": zero_y, **extra}, {"out": out})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=HERE.parents[1] / "cli/assets/mini")
    parser.add_argument("--engine", default=str(HERE.parents[1] / "build/videocomposer"))
    parser.add_argument("--threads", type=int, default=1)
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    with tempfile.TemporaryDirectory() as folder:
        cases = Cases(a.model, Path(folder))
        write_cases(cases)
        return subprocess.run([a.engine, "verify", "--backend", "cpu", *cases.paths]).returncode


if __name__ == "__main__":
    sys.exit(main())
