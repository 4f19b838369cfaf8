#!/usr/bin/env python3
"""Times in PyTorch the same ops that `videocomposer bench kernels --json` has timed, and prints the ratios by kind.

    torch_kernels.py --ours build/videocomposer -- --released          every op of the released UNet's step
    torch_kernels.py --ours build/videocomposer -- --filter 'conv '    those that `bench kernels --filter` takes
    torch_kernels.py --ours build/videocomposer -- --released --network midas

Each op runs as PyTorch does it best: linear layers and convolutions on channels-last memory through its libraries, fused
attention, convolutions over frames as two-dimensional ones. What our op does on the side (bias, activation, residual,
joined inputs) are further calls there. Both sides run each op in turn, and what counts is the fastest of their runs,
which a busy machine disturbs least. Ratios are PyTorch's seconds over ours, those of a kind weighted by how often the
step has the op: above 1, we are faster.
"""
import argparse
import json
import os
import subprocess
import sys
import time

import torch
import torch.nn.functional as F


def numbers(text):
    """-> {name: value} of an op's description; sizes become ints or lists of them."""
    kind, *words = text.split()
    values = {"kind": kind}
    for word in words:
        name, _, value = word.partition("=")
        for mark in "+x/":
            if mark in value and value.replace(mark, "").isdigit():
                value = [int(part) for part in value.split(mark)]
        values[name] = int(value) if isinstance(value, str) and value.isdigit() else value or True
    return values


def channels(v):
    return v["c"] if isinstance(v["c"], list) else [v["c"]]


def finish(out, v, addend, residual):
    """The epilogue; `addend` fits out already."""
    if addend is not None:
        out = out + addend
    activation = v.get("activation")
    if activation == "geglu":
        value, gate = out.chunk(2, -1)
        out = value * F.gelu(gate)
    elif activation:
        out = {"silu": F.silu, "gelu": F.gelu, "relu": F.relu, "sigmoid": torch.sigmoid}[activation](out)
    return out if residual is None else out + residual


def linear(v):
    inputs, c_out = [torch.randn(v["rows"], c) for c in channels(v)], v["c_out"]
    wide = 2 * c_out if v.get("activation") == "geglu" else c_out
    weight = torch.randn(wide, sum(channels(v))) * 0.02
    bias = torch.randn(wide) if "bias" in v else None
    residual = torch.randn(v["rows"], c_out) if "residual" in v else None

    def run():
        x = inputs[0] if len(inputs) == 1 else torch.cat(inputs, -1)
        return finish(F.linear(x, weight, bias), v, None, residual)
    return run


def conv(v):
    kernel, pad, stride, dilation = (v.get(name, default) for name, default in (
        ("kernel", [1, 1, 1]), ("pad", [0, 0, 0]), ("stride", [1, 1, 1]), ("dilation", [1, 1, 1])))
    n, f, h, w, groups = v["n"], v["f"], v["h"], v["w"], v.get("groups", 1)
    over_frames = kernel[0] > 1
    if over_frames and (kernel[1] > 1 or kernel[2] > 1):
        return None
    size = (n, f, h * w) if over_frames else (n * f, h, w)
    k, p, s = ((kernel[0], 1), (pad[0], 0), (1, 1)) if over_frames else (kernel[1:], pad[1:], stride[1:])
    how = {"stride": s, "padding": p, "dilation": (1, 1) if over_frames else dilation[1:], "groups": groups}
    inputs = [torch.randn(size[0], c, *size[1:]).to(memory_format=torch.channels_last) for c in channels(v)]
    weight = (torch.randn(v["c_out"], sum(channels(v)) // groups, *k) * 0.02).to(memory_format=torch.channels_last)
    bias = torch.randn(v["c_out"]) if "bias" in v else None
    below, right = (max(0, (v.get(name, 0) - 1) * s[i] + how["dilation"][i] * (k[i] - 1) + 1 - 2 * p[i] - size[i + 1])
                    for i, name in enumerate(("h_out", "w_out")))

    def joined(parts):
        x = parts[0] if len(parts) == 1 else torch.cat(parts, 1)
        if v.get("upsample", 1) == 2:
            x = F.interpolate(x, scale_factor=2, mode="nearest")
        return F.pad(x, (0, right, 0, below)) if below or right else x
    shape = F.conv2d(joined([x[:1] for x in inputs]), weight, **how).shape
    residual = addend = None
    if "residual" in v:
        residual = torch.randn(size[0], *shape[1:]).to(memory_format=torch.channels_last)
    if "rows_per_addend" in v:
        addend = torch.randn(1, v["c_out"], 1, 1)

    return lambda: finish(F.conv2d(joined(inputs), weight, bias, **how), v, addend, residual)


def group_norm(v):
    c = sum(channels(v))
    inputs = [torch.randn(v["frames"], part, v["rows"], 1).to(memory_format=torch.channels_last)
              for part in channels(v)]
    gamma, beta = torch.randn(c), torch.randn(c)

    def run():
        x = inputs[0] if len(inputs) == 1 else torch.cat(inputs, 1)
        out = F.group_norm(x, v.get("groups", 32), gamma, beta)
        return F.silu(out) if "silu" in v else out
    return run


def layer_norm(v):
    x, gamma, beta = torch.randn(v["rows"], v["c"]), torch.randn(v["c"]), torch.randn(v["c"])
    return lambda: F.layer_norm(x, (v["c"],), gamma, beta)


def attention(v):
    """Sequences as they lie: [outer, inner, row, head, i] by the strides, as [outer * inner, head, row, i]."""
    outer, inner, heads, d = v["outer"], v["inner"], v["heads"], v["head_dim"]

    def tensor(name, rows):
        strides = v.get(name + "_stride") or [inner * rows * heads * d, rows * heads * d, heads * d]
        span = (outer - 1) * strides[0] + (inner - 1) * strides[1] + (rows - 1) * strides[2] + heads * d
        return torch.randn(span).as_strided((outer, inner, heads, rows, d), (*strides[:2], d, strides[2], 1))
    q, k, t = tensor("q", v["queries"]), tensor("k", v["keys"]), tensor("v", v["keys"])

    def run():
        parts = [x.reshape(outer * inner, heads, -1, d) for x in (q, k, t)]
        return F.scaled_dot_product_attention(*parts, is_causal="causal" in v).transpose(1, 2).contiguous()
    return run


def frames_of(v):
    return torch.randn(v["frames"], v["c"], v["h"], v["w"]).to(memory_format=torch.channels_last)


def conv_transpose(v):
    x = frames_of(v)
    weight = (torch.randn(v["c"], v["c_out"], v["kernel"], v["kernel"]) * 0.02).to(memory_format=torch.channels_last)
    bias = torch.randn(v["c_out"]) if "bias" in v else None
    return lambda: finish(F.conv_transpose2d(x, weight, bias, v.get("stride", 1), v.get("pad", 0)), v, None, None)


def max_pool(v):
    x = frames_of(v)
    return lambda: F.max_pool2d(x, 2)


def resize(v):
    x = frames_of(v)
    return lambda: F.interpolate(x, (v["h_out"], v["w_out"]), mode="bilinear", align_corners="align_corners" in v)


def gate(v):
    x, factor = torch.randn(v["rows"], v["c"]), torch.randn(v["rows"], 1)
    return lambda: x * factor


def activation(v):
    x, v = torch.randn(v["rows"], v["c"]), {"activation": v["activation"]}
    return lambda: finish(x, v, None, None)


def sum_of(v):
    """Inputs of one frame count for all frames of their video."""
    still = str(v.get("one_frame", 0)).zfill(8)
    inputs = [torch.randn(v["n"], 1 if still[i] == "1" else v["f"], v["rows"]) for i in range(v.get("inputs", 2))]

    def run():
        out = inputs[0] if len(inputs) > 1 else inputs[0].clone()
        for x in inputs[1:]:
            out = out + x
        return out
    return run


def copy(v):
    """Rows between places that lie apart by the strides; few x are repeated."""
    few, rows, c = v.get("x_outer", v["outer"]), v["rows"], v["c"]

    def place(times, name):
        row = v.get(name + "_stride_row", c)
        outer = v.get(name + "_stride_outer", rows * row)
        span = (times * few - 1) * outer + (rows - 1) * row + c
        return torch.randn(span).as_strided((times, few, rows, c), (few * outer, outer, row, 1))
    x, out = place(1, "x"), place(v["outer"] // few, "out")
    return lambda: out.copy_(x)


def sampler(v):
    x, eps = torch.randn(v["count"]), torch.randn(2, v["count"])

    def run():
        e = eps[1] + 9.0 * (eps[0] - eps[1])
        x0 = 0.9 * x - 0.1 * e
        return 0.5 * x0 + 0.5 * e
    return run


BUILDERS = {f.__name__: f for f in (linear, conv, conv_transpose, group_norm, layer_norm, attention, max_pool, resize,
                                    gate, activation, copy, sampler)} | {"sum": sum_of}


def fastest(run, budget):
    """-> the least seconds of at least two runs, after one that is not counted."""
    run()
    least, count, begin = float("inf"), 0, time.perf_counter()
    while count < 2 or time.perf_counter() - begin < budget:
        start = time.perf_counter()
        run()
        least, count = min(least, time.perf_counter() - start), count + 1
    return least


def ours(a, options):
    """What our program prints for these options of `bench kernels`."""
    command = [a.ours, "bench", "kernels", "--backend", "cpu", "--dtype", "f32", "--threads", str(a.threads), *options]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise SystemExit(f"ended with status {done.returncode}: {' '.join(command)}")
    return done.stdout


def listed(a):
    """-> [(times, op)] of the step."""
    ops = json.loads(ours(a, ["--list", "--json", *a.options]))["ops"]
    return [(op["in_step"], op["op"]) for op in ops if op["in_step"]]


def compare(a, op):
    """-> our and PyTorch's least seconds, taken in turn; None where PyTorch's side is not written."""
    build = BUILDERS.get(op.split()[0])
    run = build and build(numbers(op))
    if not run:
        return None
    ours_least = theirs_least = float("inf")
    for _ in range(a.repeats):
        text = ours(a, ["--no-roofline", "--json", "--seconds", str(a.seconds), "--shape", op])
        ours_least = min(ours_least, json.loads(text)["kernels"][0]["seconds"]["least"])
        theirs_least = min(theirs_least, fastest(run, a.seconds))
    return {"ours": ours_least, "theirs": theirs_least}


def measure(a):
    """-> one row an op: what it is, how often, our seconds, their seconds."""
    rows, ops = [], listed(a)
    for number, (times, op) in enumerate(ops):
        both = compare(a, op)
        if both:
            rows.append({"op": op, "kind": op.split()[0], "times": times, **both})
        if sys.stderr.isatty():
            print(f"\r{number + 1} of {len(ops)} ops", end="", file=sys.stderr, flush=True)
    if sys.stderr.isatty():
        print(file=sys.stderr)
    if not rows:
        raise SystemExit("none of these ops is written for PyTorch")
    return rows


def by_kind(rows):
    """-> {kind: {ours, theirs, ratio}} of a step, and of all kinds together as "all"."""
    kinds = {}
    for row in rows:
        for kind in (row["kind"], "all"):
            sums = kinds.setdefault(kind, {"ours": 0.0, "theirs": 0.0})
            for side in ("ours", "theirs"):
                sums[side] += row["times"] * row[side]
    for sums in kinds.values():
        sums["ratio"] = sums["theirs"] / sums["ours"]
    return kinds


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ours", metavar="PROGRAM", required=True, help="build/videocomposer")
    parser.add_argument("--seconds", type=float, default=0.1, help="to spend on each op and side in each repeat")
    parser.add_argument("--repeats", type=int, default=2, help="times that the sides take turns")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("options", nargs="*", help="of `bench kernels`, behind --: which ops")
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    with torch.inference_mode():
        rows = measure(a)
    kinds = by_kind(rows)
    if a.json:
        print(json.dumps({"torch": torch.__version__, "threads": a.threads, "kinds": kinds, "ops": rows}))
        return
    rows.sort(key=lambda row: row["times"] * (row["ours"] - row["theirs"]), reverse=True)
    print(f"{'ratio':>7} {'ours ms':>11} {'theirs ms':>11} {'times':>5}  op")
    for row in rows:
        print(f"{row['theirs'] / row['ours']:7.2f} {1e3 * row['ours']:11.4f} {1e3 * row['theirs']:11.4f} "
              f"{row['times']:5d}  {row['op']}")
    print(f"\n{'kind':<12} {'ratio':>7} {'ours s':>10} {'theirs s':>10}")
    for kind, sums in kinds.items():
        print(f"{kind:<12} {sums['ratio']:7.2f} {sums['ours']:10.4f} {sums['theirs']:10.4f}")


if __name__ == "__main__":
    main()
