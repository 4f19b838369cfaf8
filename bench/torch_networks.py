#!/usr/bin/env python3
"""Times the networks around the UNet (towers, autoencoder, conditions) in PyTorch 2.x, beside this engine's.

    torch_networks.py --ours build/videocomposer                          all of them at their released sizes
    torch_networks.py --ours build/videocomposer --networks midas,pidinet --frames 4 --repeats 5
    torch_networks.py --check tests/data/golden                           the definitions against the reference cases

Each network runs as PyTorch does it best on a CPU: channels-last memory, fused attention, inference mode, float32,
made-up weights (the definitions: torch_clip.py, torch_vae.py, torch_midas.py, torch_sketch.py). Inputs have the shapes
of `bench step --network NAME --released`: the caption and the empty text, one style picture, and for the rest the
frames of a clip. That both sides do the same work is checked by their FLOP, which may differ by 2 %. PyTorch has a
process of its own for each network; after a warm-up, which our program makes by itself in every call, the sides take
turns. Ratios are PyTorch's seconds over ours, repetition by repetition: above 1, we are faster. A busy machine hurts
PyTorch's threads out of proportion (they wait for each other); with --threads 1 it hurts both sides alike.
"""
import argparse
import json
import os
import shlex
import signal
import sys

from torch_baseline import alternate, at_least, serve

SAME_WORK = 0.02  # by how much FLOP may differ: of a picture's tokens, ours projects all and PyTorch one
NAMES = ("clip-text", "clip-image", "vae-decoder", "vae-encoder", "midas", "pidinet", "sketch-simplification")


def shape_of(name, a):
    """-> the network's input."""
    if name.startswith("clip"):
        return (2, 77) if name == "clip-text" else (1, 3, 224, 224)
    if name == "vae-decoder":
        return a.frames, 4, a.height // 8, a.width // 8
    return a.frames, 1 if name == "sketch-simplification" else 3, a.height, a.width


def network(name):
    """-> make(options), run(model, input)."""
    from torch_clip import Clip, ClipConfig
    from torch_midas import Midas, MidasConfig
    from torch_sketch import PiDiNet, PiDiNetConfig, Simplification, SimplificationConfig
    from torch_vae import VAE, VAEConfig
    return {
        "clip-text": (lambda o: Clip(ClipConfig(), o, ("text",)), lambda m, tokens: m.hidden(tokens)),
        "clip-image": (lambda o: Clip(ClipConfig(), o, ("image",)), lambda m, pixels: m.visual(pixels)),
        "vae-decoder": (lambda o: VAE(VAEConfig(), o, ("decoder",)), lambda m, latent: m.decode(latent)),
        "vae-encoder": (lambda o: VAE(VAEConfig(), o, ("encoder",)), lambda m, frames: m.moments(frames)),
        "midas": (lambda o: Midas(MidasConfig(), o), lambda m, frames: m(frames)),
        "pidinet": (lambda o: PiDiNet(PiDiNetConfig(), o), lambda m, frames: m(frames)),
        "sketch-simplification": (lambda o: Simplification(SimplificationConfig(), o), lambda m, lines: m(lines)),
    }[name]


def worker(a):
    import torch

    from torch_layers import Options, count, random_model
    torch.set_num_threads(a.threads)
    make, forward = network(a.worker)
    x = torch.randn(shape_of(a.worker, a), generator=torch.Generator().manual_seed(1))
    if a.worker == "clip-text":
        x = torch.zeros_like(x, dtype=torch.long)
    parameters, flop = count(make, lambda m: forward(m, torch.empty_like(x, device="meta")))
    model = random_model(lambda: make(Options()))

    def run():
        with torch.inference_mode():
            out = forward(model, x)
        if not bool(torch.isfinite(out).all()):
            raise SystemExit("the result is not finite")
    serve(run, "cpu", input=list(x.shape), parameters=parameters, flop=flop)


def measure(a, name):
    sizes = [f"--{key}={getattr(a, key)}" for key in ("frames", "height", "width", "threads")]
    ours = [a.ours, "bench", "step", "--released", "--network", name, "--frames", str(a.frames), "--size",
            f"{a.width}x{a.height}", "--backend", "cpu", "--dtype", "f32", "--threads", str(a.threads), "--runs", "1",
            "--json"]
    result = alternate(a, name, [sys.executable, __file__, "--worker", name, *sizes], shlex.join(ours))
    flop, our_flop = result["flop"], result["our_flop"]
    if not abs(our_flop / flop - 1) <= SAME_WORK:
        raise SystemExit(f"{name}: {flop / 1e9:.1f} GFLOP in PyTorch, {our_flop / 1e9:.1f} in ours: not the same work")
    return {"network": name, **result}


def print_table(results):
    print(f"{'network':<22} {'input':<14} {'GFLOP':>8} {'ours s':>9} {'theirs s':>9} {'ratio':>7} {'from':>7} {'to':>7}")
    for r in results:
        shape, ratio = "x".join(map(str, r["input"])), r["ratio"]
        print(f"{r['network']:<22} {shape:<14} {r['flop'] / 1e9:8.1f} {r['ours']['median']:9.3f} "
              f"{r['theirs']['median']:9.3f} {ratio['median']:7.2f} {ratio['least']:7.2f} {ratio['most']:7.2f}")


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ours", metavar="PROGRAM", help="build/videocomposer")
    parser.add_argument("--networks", default=",".join(NAMES), help="comma-separated (default: all)")
    parser.add_argument("--frames", type=at_least(1), default=16)
    parser.add_argument("--height", type=at_least(32), default=256, help="of the frames; a multiple of 32")
    parser.add_argument("--width", type=at_least(32), default=256)
    parser.add_argument("--threads", type=at_least(1), default=len(os.sched_getaffinity(0)))
    parser.add_argument("--repeats", type=at_least(1), default=3)
    parser.add_argument("--warmup", type=at_least(0), default=1)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--check", metavar="DIRECTORY", help="evaluate the reference cases in it instead")
    parser.add_argument("--worker", choices=NAMES, help=argparse.SUPPRESS)
    a = parser.parse_args()
    unknown = [name for name in a.networks.split(",") if name not in NAMES]
    if unknown:
        parser.error(f"unknown network {unknown[0]!r}; choose from {', '.join(NAMES)}")
    if a.height % 32 or a.width % 32:
        parser.error("height and width must be multiples of 32")
    if not (a.ours or a.check or a.worker):
        parser.error("--ours PROGRAM is missing")
    return a


def main():
    a = parse()
    if a.worker:
        return worker(a)
    if a.check:
        import torch_cases
        return torch_cases.check(a.check)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that no measuring process is left behind
    results = [measure(a, name) for name in a.networks.split(",")]
    if a.json:
        keys = ("frames", "height", "width", "threads", "repeats", "warmup")
        print(json.dumps({**{key: getattr(a, key) for key in keys}, "results": results}, indent=1))
    else:
        print_table(results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
