#!/usr/bin/env python3
"""Trains the small model that is embedded in the program (cli/assets/mini), on one GPU or on a CPU.

    train.py --minutes 25 --out build/mini                 everything, from nothing; meant for a GPU
    train.py --minutes 60 --keep vae,clip,midas --go-on    goes on with the UNet of --start alone; also for a CPU
    torchrun --nproc-per-node 2 train.py --threads 1 ...   the same by two processes: faster on two cores

The stages are the autoencoder, the towers, depth and the UNet, which has most of the minutes; then what is trained by
then is written to --out in fp16, with model.json. All the data are drawn on the way (world.py). Each stage keeps its
state in --work every two minutes; the same command goes on after it was stopped (SIGTERM, or after --slice minutes).
"""
import argparse
import json
import os
import shutil
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(HERE.parents[1] / "build/train/compiled"))

import torch                                                     # noqa: E402
import torch.distributed as workers                              # noqa: E402

import autoencoder                                               # noqa: E402
import clip as clip_module                                       # noqa: E402
import denoiser                                                  # noqa: E402
import midas as midas_module                                     # noqa: E402
from stage import Interrupted, rank, read_weights, say, stop_on_signals, write_weights  # noqa: E402
from torch_cases import config_of                                # noqa: E402
from torch_clip import Clip, ClipConfig                          # noqa: E402
from torch_layers import Options                                 # noqa: E402
from torch_model import UNetConfig                               # noqa: E402
from torch_sketch import PiDiNet, PiDiNetConfig                  # noqa: E402
from torch_vae import VAE, VAEConfig                             # noqa: E402

SHARES = {"vae": 0.17, "clip": 0.07, "midas": 0.05, "unet": 0.71}  # of the minutes
FILES_LIMIT, ALL_LIMIT = 16 << 20, 24_000_000
# widths are multiples of head_dim, as the engine wants them
NEW_UNET = {"in_dim": 4, "out_dim": 4, "dim": 48, "dim_mult": [1, 1, 2], "num_res_blocks": 1,
            "attn_scales": [1.0, 0.5, 0.25], "num_heads": 4, "head_dim": 16, "context_dim": 64, "concat_dim": 8,
            "stc_size": [64, 64], "groups": 8,
            "conditions": ["text", "mask", "depthmap", "sketch", "motion", "image", "local_image", "single_sketch"]}
NEW_VAE = {"ch": 32, "ch_mult": [1, 2, 2, 2], "num_res_blocks": 1, "in_channels": 3, "out_ch": 3, "z_channels": 4,
           "embed_dim": 4, "groups": 4, "scale_factor": 0.18215}
GPU = {"frame_pool": 4096, "frame_batch": 128, "clip_batch": 512, "pool": 12000, "pool_part": 100, "refresh": 100,
       "refresh_every": 4, "clips_batch": 200, "frames_batch": 1600, "rate": 1.2e-3, "decay": 0.9995, "threads": 8}
CPU = {"frame_pool": 512, "frame_batch": 16, "clip_batch": 96, "pool": 400, "pool_part": 10, "refresh": 1,
       "refresh_every": 2, "clips_batch": 8, "frames_batch": 24, "rate": 1e-3, "decay": 0.998, "threads": 2}


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=25.0, help="of training, all stages together")
    parser.add_argument("--slice", type=float, default=1e6, help="minutes after which this process stops")
    parser.add_argument("--start", type=Path, default=HERE.parents[1] / "cli/assets/mini", help="a finished model")
    parser.add_argument("--keep", default="", help="parts taken from --start as they are: vae,clip,midas,unet")
    parser.add_argument("--go-on", action="store_true", help="begin with the UNet of --start, not from nothing")
    parser.add_argument("--work", type=Path, default=HERE.parents[1] / "build/train", help="checkpoints")
    parser.add_argument("--out", type=Path, default=HERE.parents[1] / "build/mini", help="where the model goes")
    parser.add_argument("--export-now", action="store_true", help="only write what the checkpoints hold by now")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", choices=("cpu", "cuda"))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--plain", action="store_true", help="neither torch.compile nor bfloat16 on a GPU")
    parser.add_argument("--still-share", type=float, nargs=2, default=(0.6, 0.18), metavar=("FIRST", "LAST"),
                        help="of the UNet's batches: single frames")
    for name, value in CPU.items():
        parser.add_argument("--" + name.replace("_", "-"), type=type(value),
                            help=f"{value} on a CPU, {GPU[name]} on a GPU")
    a = parser.parse_args()
    for name, value in (GPU if a.device == "cuda" else CPU).items():
        if getattr(a, name) is None:
            setattr(a, name, value)
    a.keep = [part for part in a.keep.split(",") if part]
    if not set(a.keep) <= set(SHARES):
        parser.error(f"--keep takes {', '.join(SHARES)}")
    a.bf16 = a.compile = a.device == "cuda" and not a.plain
    a.slice_ends = time.monotonic() + 60 * a.slice
    return a


def given(a, part):
    return read_weights(a.start / (part + ".safetensors"))


def trained(a, part):
    """The finished weights of a part: kept ones, or the checkpoint's averaged ones."""
    if part in a.keep:
        return given(a, part)
    state = torch.load(a.work / (part + ".pt"), map_location="cpu", weights_only=True)["average"]
    if part == "clip":
        state = {key[5:]: value for key, value in state.items() if key.startswith("clip.")}
    return state


def finished(a, network, part):
    network.load_state_dict(trained(a, part))
    return network.to(a.device).eval().requires_grad_(False)


def networks(a, config):
    pidinet = PiDiNet(config_of(PiDiNetConfig, config["pidinet"]))
    pidinet.load_state_dict(given(a, "pidinet"))
    vae = VAE(config_of(VAEConfig, without(config["vae"], "scale_factor")), Options(), parts=("encoder", "decoder"))
    return (finished(a, vae, "vae"), finished(a, Clip(config_of(ClipConfig, config["clip"])), "clip"),
            pidinet.to(a.device).eval().requires_grad_(False))


def without(values, *names):
    return {key: value for key, value in values.items() if key not in names}


def configuration(a):
    """model.json: that of --start, with what is trained anew in its new shape."""
    config = json.loads((a.start / "model.json").read_text())
    if "vae" not in a.keep:
        config["vae"] = NEW_VAE
    if "clip" not in a.keep:
        config["clip"] = clip_module.config()
    if "unet" not in a.keep and not a.go_on:
        config["unet"] = NEW_UNET
    if "midas" not in a.keep:
        config["midas"] = midas_module.config()
    return config


def export(a, config):
    a.out.mkdir(parents=True, exist_ok=True)
    before = config.get("trained", {})
    config["trained"] = {part: before[part] for part in a.keep if part in before}
    config["networks"] = [part for part in ("unet", "vae", "clip", "midas", "pidinet") if has(a, part)]
    for part in config["networks"]:
        path = a.out / (part + ".safetensors")
        if part == "pidinet" or part in a.keep:
            if path.resolve() != (a.start / path.name).resolve():
                shutil.copyfile(a.start / path.name, path)
            continue
        write_weights(path, trained(a, part))
        state = torch.load(a.work / (part + ".pt"), map_location="cpu", weights_only=True)
        config["trained"][part] = {"steps": state["step"], "minutes": round(state["spent"] / 60, 1),
                                   "device": a.device}
        if part == "unet" and a.go_on:
            config["trained"][part]["before"] = {k: v for k, v in before.items() if k not in SHARES or k == "unet"}
    (a.out / "model.json").write_text(json.dumps(config, indent=1) + "\n")
    sizes = {path.name: path.stat().st_size for path in sorted(a.out.glob("*.safetensors"))}
    say(f"{a.out}: {json.dumps(sizes)}, {sum(sizes.values())} bytes together")
    if max(sizes.values()) > FILES_LIMIT or sum(sizes.values()) > ALL_LIMIT:
        say(f"too large: {FILES_LIMIT} bytes a file and {ALL_LIMIT} in all are the limits")
        return 1
    return 0


def has(a, part):
    given_ones = (*a.keep, "pidinet")
    return (a.start / (part + ".safetensors") if part in given_ones else a.work / (part + ".pt")).exists()


def train(a, part, minutes, config):
    if part == "vae":
        autoencoder.train(a, minutes, config_of(VAEConfig, without(config["vae"], "scale_factor")))
    elif part == "clip":
        clip_module.train(a, minutes)
    elif part == "midas":
        midas_module.train(a, minutes)
    else:
        denoiser.train(a, minutes, config_of(UNetConfig, config["unet"]), given(a, "unet") if a.go_on else None,
                       *networks(a, config))


def main():
    a = parse()
    torch.set_num_threads(a.threads)
    torch.set_float32_matmul_precision("high")
    a.work.mkdir(parents=True, exist_ok=True)
    stop_on_signals()
    if "RANK" in os.environ:
        workers.init_process_group("gloo")
    config, parts = configuration(a), [part for part in SHARES if part not in a.keep]
    try:
        for part in [] if a.export_now else parts:
            train(a, part, a.minutes * SHARES[part] / sum(SHARES[p] for p in parts), config)
            if workers.is_initialized():
                workers.barrier()  # the next stage reads what the first process has written
    except Interrupted:
        say("not finished")
    status = 0 if rank() else export(a, config)
    if workers.is_initialized():
        workers.destroy_process_group()
    return status


if __name__ == "__main__":
    sys.exit(main())
