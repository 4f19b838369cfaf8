"""The reference cases (videocomposer-case/1) of the networks, evaluated by their definitions in PyTorch."""
import json
from dataclasses import fields, is_dataclass
from pathlib import Path

import torch

from torch_clip import Clip, ClipConfig
from torch_layers import Options, arrange
from torch_midas import UNIT, Midas, MidasConfig
from torch_model import UNet, UNetConfig
from torch_sketch import PiDiNet, PiDiNetConfig, Simplification, SimplificationConfig
from torch_vae import VAE, VAEConfig

DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "F64": torch.float64,
          "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "U8": torch.uint8, "BOOL": torch.bool}
TOLERANCE = 1e-4  # of cases that name none, as in engine/case.c


def read_safetensors(path):
    """-> ({name: tensor}, metadata)."""
    data = bytearray(Path(path).read_bytes())
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    metadata = header.pop("__metadata__", {})
    tensors = {}
    for name, entry in header.items():
        first, last = entry["data_offsets"]
        raw = torch.frombuffer(data[start + first:start + last] or bytearray(8), dtype=torch.uint8)[:last - first]
        tensors[name] = raw.view(DTYPES[entry["dtype"]]).reshape(entry["shape"])
    return tensors, metadata


def config_of(kind, values):
    """A config dataclass from a JSON object. What it has no field for says how a case or the engine uses the network."""
    given = {}
    for field in fields(kind):
        if field.name in values:
            value = values[field.name]
            inner = is_dataclass(field.default)
            given[field.name] = config_of(type(field.default), value) if inner else \
                tuple(value) if isinstance(value, list) else value
    return kind(**given)


def run_clip_text(model, cfg, tokens):
    hidden, after = model.text(tokens)
    pooled = after[torch.arange(len(tokens)), tokens.argmax(1)] @ model.text_projection
    return {"hidden": hidden, "pooled": pooled}


def run_midas(model, cfg, frames):
    raw = model(2 * frames - 1)[:, None]
    return {"raw": raw, "depth": (raw / UNIT).clamp(0, 10)}


def run_encoder(model, cfg, image, noise):
    return dict(zip(("moments", "mean", "logvar", "latent"), model.encode(image, noise)))


# network of a case: configuration, model, outputs by name of the inputs
CASES = {
    "unet": (UNetConfig, UNet, lambda model, cfg, **inputs: {"out": model(**inputs)}),
    "vae_encoder": (VAEConfig, lambda cfg, options: VAE(cfg, options, ("encoder",)), run_encoder),
    "vae_decoder": (VAEConfig, lambda cfg, options: VAE(cfg, options, ("decoder",)),
                    lambda model, cfg, latent: {"image": model.decode(latent)}),
    "clip_text": (ClipConfig, lambda cfg, options: Clip(cfg, options, ("text",)), run_clip_text),
    "clip_image": (ClipConfig, lambda cfg, options: Clip(cfg, options, ("image",)),
                   lambda model, cfg, pixels: {"features": model.visual(pixels)}),
    "midas": (MidasConfig, Midas, run_midas),
    "pidinet": (PiDiNetConfig, PiDiNet, lambda model, cfg, x: {"edges": model(x)}),
    "sketch_simplification": (SimplificationConfig, Simplification,
                              lambda model, cfg, x: {"y": model((x - cfg.mean) / cfg.std)}),
}


def has_case(metadata):
    """PiDiNet's weights must be those of plain convolutions: its pixel differences are the engine's to fold."""
    network = metadata.get("network")
    return network in CASES and (network != "pidinet" or json.loads(metadata["config"]).get("converted", False))


def run_case(metadata, state, inputs, options):
    """-> outputs by name."""
    config, make, run = CASES[metadata["network"]]
    cfg = config_of(config, json.loads(metadata["config"]))
    model = make(cfg, options)
    model.load_state_dict({key: state[key] for key in model.state_dict()})  # a weights file may hold more
    return run(arrange(model), cfg, **inputs)


def check_case(path, tensors, metadata, options):
    """-> (largest relative L2 error, tolerance)."""
    def under(prefix):
        return {name[len(prefix):]: tensor for name, tensor in tensors.items() if name.startswith(prefix)}
    state = read_safetensors(path.parent / metadata["weights"])[0] if "weights" in metadata else under("param/")
    outputs, expected = run_case(metadata, state, under("input/"), options), under("output/")
    if set(outputs) != set(expected):
        raise SystemExit(f"{path}: outputs {sorted(outputs)}, expected {sorted(expected)}")
    worst = 0.0
    for name, want in expected.items():
        if outputs[name].shape != want.shape:
            raise SystemExit(f"{path}: {name} has shape {list(outputs[name].shape)}, expected {list(want.shape)}")
        error = ((outputs[name].double() - want.double()).norm() / want.double().norm()).item()
        worst = error if not error <= worst else worst  # a NaN stays
    return worst, float(metadata.get("tolerance", TOLERANCE))


@torch.inference_mode()
def check(directory):
    """Every case of a network in CASES, with all options on and with all off -> exit status."""
    passed = failed = others = 0
    for path in sorted(Path(directory).glob("*.safetensors")):
        tensors, metadata = read_safetensors(path)
        if not has_case(metadata):
            others += "network" in metadata
            continue
        worst = 0.0
        for on in (True, False):
            error, tolerance = check_case(path, tensors, metadata, Options(on, on, on))
            worst = error if not error <= worst else worst
        good = worst <= tolerance
        passed, failed = passed + good, failed + (not good)
        print(f"{'ok  ' if good else 'FAIL'} {path.name:44s} relative L2 {worst:.2e}, tolerance {tolerance:.1e}")
    print(f"{others} cases of other kinds\n{passed} passed, {failed} failed")
    return 0 if passed and not failed else 1
