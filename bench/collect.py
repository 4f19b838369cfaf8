#!/usr/bin/env python3
"""Measures this machine and writes bench/results/DATE-MACHINE.json, from which render.py makes README's figures.

    collect.py                      everything: some fifteen minutes on a quiet machine with two cores
    collect.py --quick              the embedded model only: under a minute
    collect.py --parts bf16,torch --update bench/results/FILE.json     some of it anew
    collect.py --torch-python PATH  the Python that has PyTorch (default: this one); without PyTorch its part is left out

What runs, in this order: of the embedded model a step, its ops one by one, whole jobs; of the released architecture, with
made-up weights, a step and its ops, and the step in bf16; the same UNet in PyTorch (torch_baseline.py), the same ops
(torch_kernels.py) and the networks around the UNet (torch_networks.py), alternately with ours. Nothing else should run
meanwhile: of each part the system's load before and after is written down too. Only the standard library is needed.
"""
import argparse
import datetime
import json
import os
import platform
import re
import subprocess
import sys
from pathlib import Path

FORMAT = "videocomposer-bench/1"
HERE = Path(__file__).resolve().parent


def say(text):
    print(text, file=sys.stderr, flush=True)


def first_line(path, pattern, fallback):
    try:
        found = re.search(pattern, Path(path).read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found.group(1).strip() if found else fallback


def machine():
    memory = int(first_line("/proc/meminfo", r"^MemTotal:\s+(\d+) kB", "0")) * 1024
    return {"cpu": first_line("/proc/cpuinfo", r"^model name\s*:\s*(.+)$", platform.machine()),
            "cores": len(os.sched_getaffinity(0)), "memory_bytes": memory,
            "system": first_line("/etc/os-release", r'^PRETTY_NAME="?([^"\n]+)', platform.system()),
            "kernel": platform.release()}


def commit():
    done = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=HERE, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, text=True)
    return done.stdout.strip() or None


def run(a, *arguments):
    """-> the JSON that `videocomposer bench ...` prints."""
    command = [a.binary, "bench", *arguments, "--json", "--threads", str(a.threads)]
    say("  " + " ".join(command))
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise SystemExit(f"ended with status {done.returncode}: {' '.join(command)}")
    return json.loads(done.stdout)


def embedded(a):
    return {"step": run(a, "step", "--runs", "50"), "kernels": run(a, "kernels", "--no-progress"),
            "generate": run(a, "generate", "--runs", "2")}


def released(a):
    """The step is measured once, by itself; the ops are then set against it."""
    step = run(a, "step", "--released", "--runs", "1")
    kernels = run(a, "kernels", "--released", "--no-step", "--seconds", "0.1", "--no-progress")
    kernels["step_seconds"] = step["seconds"]
    kernels["sum_over_step"] = kernels["sum_seconds"] / step["seconds"]
    return {"step": step, "kernels": kernels}


def bf16(a):
    """The released step in bf16."""
    return {"step": run(a, "step", "--released", "--runs", "1", "--dtype", "bf16")}


def has_torch(a):
    has = subprocess.run([a.torch_python, "-c", "import torch"], stderr=subprocess.DEVNULL).returncode == 0
    if not has:
        say(f"  {a.torch_python} has no PyTorch: left out")
    return has


def script(a, name, *options):
    """-> the JSON that a script for PyTorch prints."""
    command = [a.torch_python, str(HERE / name), "--threads", str(a.threads), *options]
    say("  " + " ".join(command))
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True,
                          env={**os.environ, "OMP_NUM_THREADS": str(a.threads)})
    if done.returncode:
        raise SystemExit(f"{name} ended with status {done.returncode}")
    return json.loads(done.stdout)


def torch(a):
    """The UNet as a whole: what torch_baseline.py prints."""
    ours = (f"'{a.binary}' bench step --released --no-guidance --conditions style --backend cpu --dtype f32 --runs 1 --json "
            f"--threads {a.threads}")
    return script(a, "torch_baseline.py", "--repeats", "2", "--variants", a.torch_variants, "--ours", ours)


def torch_kernels(a):
    """Its ops one by one: what torch_kernels.py prints."""
    return script(a, "torch_kernels.py", "--ours", a.binary, "--repeats", "1", "--seconds", "0", "--json", "--", "--released")


def torch_networks(a):
    """The networks around the UNet, on a quarter of a clip: what torch_networks.py prints."""
    return script(a, "torch_networks.py", "--ours", a.binary, "--frames", "4", "--json")


PARTS = {"embedded": embedded, "released": released, "bf16": bf16, "torch": torch, "torch_kernels": torch_kernels,
         "torch_networks": torch_networks}


def wanted(a):
    """-> names of the parts to measure."""
    if a.parts:
        return a.parts.split(",")
    if a.quick:
        return ["embedded"]
    own = [name for name in PARTS if not name.startswith("torch")]
    return own if a.no_torch or not has_torch(a) else list(PARTS)


def name_of(result):
    cpu = re.sub(r"\((R|TM|tm)\)|\bCPU\b|\bProcessor\b|@.*", " ", result["machine"]["cpu"])
    words = re.sub(r"[^a-z0-9]+", "-", f"{cpu} {result['machine']['cores']} cores".lower()).strip("-")
    return f"{result['date']}-{words}.json"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default=str(HERE.parent / "build/videocomposer"))
    parser.add_argument("--output", default=str(HERE / "results"), help="folder to write into")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--quick", action="store_true", help="the embedded model only")
    parser.add_argument("--parts", metavar="LIST", help="only these, by commas: " + ", ".join(PARTS))
    parser.add_argument("--update", type=Path, metavar="FILE", help="a result whose other parts are kept as they are")
    parser.add_argument("--no-torch", action="store_true", help="leave PyTorch out")
    parser.add_argument("--torch-python", default=sys.executable, metavar="PATH", help="a Python that has PyTorch")
    parser.add_argument("--torch-variants", default="channels_last", help="of torch_baseline.py, by commas")
    a = parser.parse_args()
    a.binary = os.path.join(".", os.path.relpath(a.binary))  # results tell the command, but not where this copy lies
    if a.parts and not set(a.parts.split(",")) <= set(PARTS):
        parser.error(f"--parts takes {', '.join(PARTS)}")
    result = {"format": FORMAT, "date": datetime.date.today().isoformat(), "machine": machine(), "threads": a.threads,
              "measured": {}}
    if a.update:
        result = json.loads(a.update.read_text())
        if result.get("format") != FORMAT or result["machine"] != machine():
            parser.error(f"{a.update}: is no {FORMAT} of this machine")
    for name in wanted(a):
        say(name)
        load = os.getloadavg()[0]
        result[name] = PARTS[name](a)
        result.setdefault("measured", {})[name] = {"date": datetime.date.today().isoformat(), "commit": commit(),
                                                   "load_before": load, "load_after": os.getloadavg()[0]}
    path = a.update or Path(a.output) / name_of(result)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".part")
    beside.write_text(json.dumps(result, indent=1) + "\n")
    beside.replace(path)
    print(path)


if __name__ == "__main__":
    main()
