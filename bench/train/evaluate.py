#!/usr/bin/env python3
"""Measures how each condition steers the small model, on clips that the engine makes.

    evaluate.py --engine build/videocomposer -o result.json          the embedded model, 64 new scenes
    evaluate.py --model build/mini --scenes 32 --only text,depth      another one, and only some questions
    evaluate.py --tables result.json ...                              the tables of cli/assets/mini/README.md

Each question asks for clips of the same scenes (world.py, one shape that moves along a line) in another way, and
measure.py looks at what came. `world` measures the scenes themselves: how far the measuring can be trusted. `coding`
and `depth network` need no clips: the autoencoder and the network for depth, by PyTorch on the same weights.
"""
import argparse
import json
import os
import shlex
import struct
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import torch                                             # noqa: E402
import torch.nn.functional as F                          # noqa: E402

import measure                                           # noqa: E402
import world                                             # noqa: E402
from captions import plain_caption                       # noqa: E402
from clip import clip_pixels                             # noqa: E402
from stage import read_weights, signed                   # noqa: E402
from torch_cases import config_of                        # noqa: E402
from torch_clip import Clip, ClipConfig                  # noqa: E402
from torch_layers import Options                         # noqa: E402
from torch_midas import UNIT, Midas, MidasConfig         # noqa: E402
from torch_vae import LATENT_SCALE, VAE, VAEConfig       # noqa: E402

# question: what is asked for, as rows of the table name it
QUESTIONS = {"world": "the world itself (ceiling)", "text": "text, the motion in words",
             "motion": "text + motion vectors",
             "sketch": "text + exact sketches", "edges": "text + sketches by PiDiNet",
             "depth": "text + exact depth", "found_depth": "text + depth by MiDaS",
             "single_sketch": "text + single sketch (IoU of frame 0)", "image": "text + first image (IoU of frame 0)",
             "inpaint": "text + half of the picture to paint", "style": '"a SHAPE" + style image'}
FIRST_FRAME, OVERLAPS = ("single_sketch", "image"), set(QUESTIONS) - {"text", "motion", "style"}
MOVES = ("world", "text", "motion", "sketch", "edges", "depth", "found_depth")


# ---- files that the engine reads

def write_png(path, pixels):
    """uint8 [h, w] or [3, h, w]."""
    pixels = pixels.cpu()
    h, w = pixels.shape[-2:]
    rows = pixels.reshape(h, w) if pixels.dim() == 2 else pixels.permute(1, 2, 0).reshape(h, 3 * w)
    data = b"".join(b"\0" + row.contiguous().numpy().tobytes() for row in rows)

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    head = struct.pack(">IIBBBBB", w, h, 8, 0 if pixels.dim() == 2 else 2, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(data, 6)) +
                     chunk(b"IEND", b""))


def write_frames(folder, frames):
    folder.mkdir(exist_ok=True)
    for k, frame in enumerate(frames):
        write_png(folder / f"{k:04d}.png", frame)


def write_tensors(path, tensors, metadata=None):
    """float32, or int64 where the tensor is."""
    head, bodies, at = {"__metadata__": metadata} if metadata else {}, [], 0
    for name, tensor in tensors.items():
        whole = tensor.dtype == torch.int64
        bodies.append((tensor if whole else tensor.float()).contiguous().numpy().tobytes())
        head[name] = {"dtype": "I64" if whole else "F32", "shape": list(tensor.shape),
                      "data_offsets": [at, at + len(bodies[-1])]}
        at += len(bodies[-1])
    text = json.dumps(head).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(bodies))


# ---- questions

class Scenes:
    def __init__(self, a):
        self.scenes = world.draw_scenes(torch.Generator().manual_seed(a.seed), a.scenes, two=0, straight=True)
        self.frames, self.depth, self.sketch, region = world.render(self.scenes)
        self.region = region == 1

    def side(self, i):
        """The half that the shape is not in: 3 (right) or 2 (left)."""
        return 3 if self.scenes.path[i, 0, :, 0].mean() < world.SIZE / 2 else 2

    def arguments(self, question, i, folder):
        """-> prompt and further arguments; writes what they name."""
        words, extra = plain_caption(self.scenes, i, moves=question == "text"), []
        if question == "motion":
            field = world.motion_field(world.motion_blocks(self.scenes.take(slice(i, i + 1))))
            write_tensors(folder / "m.safetensors", {"motion": field[0]})
            extra = ["--motion", "m.safetensors"]
        elif question == "sketch":
            write_tensors(folder / "s.safetensors", {"sketch": self.sketch[i] / 255})
            extra = ["--sketch-video", "s.safetensors"]
        elif question == "depth":
            write_tensors(folder / "d.safetensors", {"depth": self.depth[i] / 127.5})
            extra = ["--depth", "d.safetensors"]
        elif question in ("edges", "found_depth"):
            write_frames(folder / "clip", self.frames[i])
            extra = ["--video", "clip", "--use", "sketch" if question == "edges" else "depth"]
        elif question == "single_sketch":
            write_png(folder / "s.png", self.sketch[i, 0])
            extra = ["--sketch", "s.png", "--sketch-raw"]
        elif question == "image":
            write_png(folder / "i.png", self.frames[i, 0])
            extra = ["--image", "i.png"]
        elif question == "inpaint":
            write_frames(folder / "clip", self.frames[i])
            write_png(folder / "mask.png", (world.halves(self.side(i)) * 255).to(torch.uint8))
            extra = ["--source", "clip", "--mask", "mask.png"]
        elif question == "style":
            write_png(folder / "y.png", self.frames[i, 4])
            words, extra = f"a {world.SHAPES[self.scenes.shape[i, 0]]}", ["--style", "y.png"]
        return words, extra


def generate(a, words, extra, seed, folder):
    """-> the clip, float [8, 3, 128, 128] in 0 .. 255."""
    command = [a.engine, "generate", "--prompt", words, *extra, "--seed", str(seed), "--steps", str(a.steps),
               "--threads", str(a.threads), "--no-progress", "-o", "o.safetensors"]
    command += ["--guidance", str(a.guidance)] if a.guidance else []
    command += ["--model", a.model] if a.model else []
    done = subprocess.run(command, cwd=folder, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        raise SystemExit(f"{shlex.join(command)}\nended with status {done.returncode}: {done.stderr}")
    return read_weights(Path(folder) / "o.safetensors")["video"][0].transpose(0, 1) * 255


def ask(a, question, set_, towers):
    found, more = [], {"consistency": []}
    with tempfile.TemporaryDirectory() as folder:
        for i in range(a.scenes):
            if question == "world":
                clip = set_.frames[i].float()
            else:
                words, extra = set_.arguments(question, i, Path(folder))
                clip = generate(a, words, extra, 1000 + i, folder)
            found.append(measure.describe(clip, set_.scenes, i, set_.region[i], question in FIRST_FRAME))
            features = F.normalize(towers.visual(clip_pixels(clip)), dim=1)
            more["consistency"].append(float((features[1:] * features[:-1]).sum(1).mean()))
            if question == "inpaint":
                hole = world.halves(set_.side(i)) > 0
                truth = set_.frames[i].float()
                more.setdefault("kept_psnr", []).append(measure.psnr(clip[..., ~hole], truth[..., ~hole]))
                more.setdefault("hole_psnr", []).append(measure.psnr(clip[..., hole], truth[..., hole]))
    result = {key: mean([float(f[key]) for f in found]) for key in ("found", "color", "backdrop", "shape")}
    result |= {key: mean(values) for key, values in more.items()}
    if question in OVERLAPS:
        result["iou"] = mean([f["iou"] for f in found])
    if question in MOVES:
        result |= {key: round(value, 3) for key, value in measure.motion(found, set_.scenes).items()}
    return result


def mean(values):
    return round(sum(values) / len(values), 3)


# ---- without clips

def coding(folder, set_):
    """The autoencoder, by the mean of its posterior: PSNR, mean and deviation of the latent."""
    config = json.loads((folder / "model.json").read_text())["vae"]
    model = VAE(config_of(VAEConfig, {k: v for k, v in config.items() if k != "scale_factor"}), Options())
    model.load_state_dict(read_weights(folder / "vae.safetensors"))
    values, latents = [], []
    for clip in set_.frames[:, ::3]:
        latent = model.moments(signed(clip))[:, :4] * LATENT_SCALE
        out = (model.decode(latent).clamp(-1, 1) + 1) * 127.5
        values += [measure.psnr(x, y) for x, y in zip(out, clip.float())]
        latents.append(latent)
    latents = torch.cat(latents)
    return {"psnr": mean(values), "frames": len(values), "latent_mean": round(float(latents.mean()), 3),
            "latent_deviation": round(float(latents.std()), 3)}


def ranks(values):
    return values.flatten().argsort().argsort().float()


def depth_network(folder, set_):
    """Against the exact inverse depth / 20: mean error, that relative to the exact one, rank correlation of pixels."""
    config = json.loads((folder / "model.json").read_text())["midas"]
    model = Midas(config_of(MidasConfig, config)).eval()
    model.load_state_dict(read_weights(folder / "midas.safetensors"))
    errors, relative, correlation = [], [], []
    for clip, depth in zip(set_.frames[:, ::3], set_.depth[:, ::3]):
        want = depth.float() / 127.5
        for x, y in zip(model(signed(clip)) / UNIT, want):
            errors.append(float((x - y).abs().mean()))
            relative.append(float(((x - y).abs() / y).mean()))
            correlation.append(float(torch.corrcoef(torch.stack([ranks(x), ranks(y)]))[0, 1]))
    return {"error": round(sum(errors) / len(errors), 4), "relative_error": mean(relative),
            "rank_correlation": mean(correlation), "frames": len(errors)}


# ---- tables

def cell(values, key):
    return f"{values[key]:.2f}" if key in values else ""


def tables(results):
    """One table for each file: rows by question."""
    for result in results:
        guidance = result["guidance"] or "of the model"
        print(f"DDIM, {result['steps']} steps, guidance {guidance}, {result['scenes']} scenes\n")
        print("| condition | colour | shape | backdrop | region IoU | direction | motion correlation "
              "| error / standing still | frame consistency |\n|---|---|---|---|---|---|---|---|---|")
        for question, label in QUESTIONS.items():
            values = result["answers"].get(question)
            if values:
                error = f"{values['error'] / values['still_error']:.2f}" if "error" in values else ""
                shares = [cell(values, k) for k in ("color", "shape", "backdrop", "iou", "direction", "correlation")]
                print("| " + " | ".join([label, *shares, error, f"{values['consistency']:.3f}"]) + " |")
        for key in ("coding", "depth network", "inpaint"):
            if key in result["answers"]:
                print(f"\n{key}: {json.dumps(result['answers'][key])}")
        print()


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", default=str(HERE.parents[1] / "build/videocomposer"))
    parser.add_argument("--model", help="model folder; without it, what is embedded in the engine (cli/assets/mini)")
    parser.add_argument("--only", default=",".join(("coding", "depth network", *QUESTIONS)))
    parser.add_argument("--scenes", type=int, default=64)
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--guidance", type=float, help="without it, the model's own")
    parser.add_argument("--seed", type=int, default=20406, help="of the scenes")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("-o", "--output", type=Path, help="JSON; answers that it holds already are kept")
    parser.add_argument("--tables", nargs="+", type=Path, metavar="FILE", help="only print these results as tables")
    a = parser.parse_args()
    a.engine, a.model = os.path.abspath(a.engine), a.model and os.path.abspath(a.model)
    return a


@torch.no_grad()
def main():
    a = parse()
    if a.tables:
        return tables([json.loads(path.read_text()) for path in a.tables])
    torch.set_num_threads(a.threads)
    folder, set_ = Path(a.model or HERE.parents[1] / "cli/assets/mini"), Scenes(a)
    towers = Clip(config_of(ClipConfig, json.loads((folder / "model.json").read_text())["clip"]))
    towers.load_state_dict(read_weights(folder / "clip.safetensors"))
    result = {key: getattr(a, key) for key in ("steps", "guidance", "scenes", "seed")} | {"answers": {}}
    if a.output and a.output.exists():
        result["answers"] = json.loads(a.output.read_text())["answers"]
    for question in a.only.split(","):
        if question in result["answers"] or (question in ("depth network", "found_depth") and
                                             not (folder / "midas.safetensors").exists()):
            continue
        alone = {"coding": coding, "depth network": depth_network}.get(question)
        result["answers"][question] = alone(folder, set_) if alone else ask(a, question, set_, towers)
        print(json.dumps({question: result["answers"][question]}), flush=True)
        if a.output:
            a.output.write_text(json.dumps(result, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
