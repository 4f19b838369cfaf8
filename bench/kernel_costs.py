#!/usr/bin/env python3
"""What each CUDA kernel costs by itself, from the compiler's reports that `make cuda` leaves in build/cuda.

    kernel_costs.py             a table: registers, shared memory, stack and spills of every kernel, for each architecture
    kernel_costs.py --json      the same as JSON
    kernel_costs.py --check     also ends with status 1 when a kernel spills registers or an architecture is missing

Beside it, `videocomposer bench kernels --list --backend cuda` tells the bytes and FLOPs of every op. Dynamic shared memory is
chosen at launch and not in the reports. Only Python's standard library and c++filt are needed.
"""
import argparse
import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ARCHITECTURES = ("sm_80", "sm_90a")


def demangled(names):
    done = subprocess.run(["c++filt"], input="\n".join(names), stdout=subprocess.PIPE, text=True, check=True)
    return dict(zip(names, done.stdout.splitlines()))


def short(name):
    """flash_kernel<__half, 64>(...) -> flash_kernel<__half, 64>"""
    name = re.sub(r"\(anonymous namespace\)::|^void ", "", name)
    depth = 0
    for i, letter in enumerate(name):
        depth += (letter == "<") - (letter == ">")
        if letter == "(" and depth == 0:
            return name[:i]
    return name


def parse(path):
    kernels, current = [], None
    for line in path.read_text().splitlines():
        if found := re.search(r"Compiling entry function '(\S+)' for '(\S+)'", line):
            current = {"file": path.name.split(".")[0] + ".cu", "symbol": found[1], "architecture": found[2], "registers": 0,
                       "shared": 0, "stack": 0, "spills": 0}
            kernels.append(current)
        elif current and (found := re.search(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", line)):
            current["stack"], current["spills"] = int(found[1]), int(found[2]) + int(found[3])
        elif current and (found := re.search(r"Used (\d+) registers", line)):
            current["registers"] = int(found[1])
            shared = re.search(r"(\d+) bytes smem", line)
            current["shared"] = int(shared[1]) if shared else 0
    return kernels


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=ROOT / "build/cuda/kernels/cuda")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--check", action="store_true")
    a = parser.parse_args()
    kernels = [k for path in sorted(a.folder.glob("*.ptxas")) for k in parse(path)]
    if not kernels:
        sys.exit(f"{a.folder} has no reports: make cuda")
    names = demangled([k["symbol"] for k in kernels])
    for k in kernels:
        k["kernel"] = short(names[k.pop("symbol")])
    if a.json:
        print(json.dumps(kernels, indent=1))
    else:
        print(f"{'file':<22} {'arch':<7} {'registers':>9} {'shared':>7} {'stack':>6} {'spills':>6}  kernel")
        for k in kernels:
            print(f"{k['file']:<22} {k['architecture']:<7} {k['registers']:>9} {k['shared']:>7} {k['stack']:>6} {k['spills']:>6}  "
                  f"{k['kernel']}")
    spilled = [k["kernel"] for k in kernels if k["spills"]]
    missing = [arch for arch in ARCHITECTURES if all(k["architecture"] != arch for k in kernels)]
    if a.check and (spilled or missing):
        sys.exit(f"registers are spilled in: {', '.join(spilled) or 'none'}; architectures that are missing: "
                 f"{', '.join(missing) or 'none'}")


if __name__ == "__main__":
    main()
