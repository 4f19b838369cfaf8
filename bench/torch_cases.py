"""The reference cases (videocomposer-case/1) of the UNet and the autoencoder, evaluated by torch_model."""
import json
from pathlib import Path

import torch

from torch_layers import Options, arrange
from torch_model import UNet, UNetConfig
from torch_vae import VAE, VAEConfig

DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "F64": torch.float64,
          "I64": torch.int64, "I32": torch.int32, "U8": torch.uint8}


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
    """A config dataclass from a JSON object; `record`, which lists traced modules, is left out."""
    return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items() if k != "record"})


def run_case(metadata, state, inputs, options):
    """-> outputs by name."""
    network, config = metadata["network"], json.loads(metadata["config"])
    if network == "unet":
        model = UNet(config_of(UNetConfig, config), options)
    else:
        model = VAE(config_of(VAEConfig, config), options, parts=(network[4:],))
    model.load_state_dict({key: state[key] for key in model.state_dict()})  # a weights file may hold more
    arrange(model)
    if network == "unet":
        return {"out": model(**inputs)}
    if network == "vae_decoder":
        return {"image": model.decode(inputs["latent"])}
    return dict(zip(("moments", "mean", "logvar", "latent"), model.encode(inputs["image"], inputs["noise"])))


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
    return worst, float(metadata["tolerance"])


@torch.inference_mode()
def check(directory):
    """Every case of the three networks, with all options on and with all off -> exit status."""
    passed = failed = others = 0
    for path in sorted(Path(directory).glob("*.safetensors")):
        tensors, metadata = read_safetensors(path)
        if metadata.get("network") not in ("unet", "vae_encoder", "vae_decoder"):
            others += "network" in metadata
            continue
        worst = 0.0
        for on in (True, False):
            error, tolerance = check_case(path, tensors, metadata, Options(on, on, on))
            worst = error if not error <= worst else worst
        good = worst <= tolerance
        passed, failed = passed + good, failed + (not good)
        print(f"{'ok  ' if good else 'FAIL'} {path.name:44s} relative L2 {worst:.2e}, tolerance {tolerance:.1e}")
    print(f"{others} cases of other networks\n{passed} passed, {failed} failed")
    return 0 if passed and not failed else 1
