#!/usr/bin/env python3
"""Renders README's figures and the plots from bench/results: nothing there is typed in by hand.

    render.py                    README.md between <!-- figures --> and <!-- /figures -->, and the plots beside the results
    render.py --results DIR --readme FILE
    render.py --check            changes nothing; exit status 1 when the README is not what the results say

Of every machine (processor and number of cores) the latest results count. Only the standard library is needed.
"""
import argparse
import json
import math
import os
import sys
from pathlib import Path
from xml.sax.saxutils import escape

HERE = Path(__file__).resolve().parent
FORMAT = "videocomposer-bench/1"
BEGIN, END = "<!-- figures -->", "<!-- /figures -->"
COLOURS = {"linear": "#4269d0", "conv": "#ff725c", "attention": "#6cc5b0", "group_norm": "#efb118", "layer_norm": "#a463f2",
           "copy": "#9498a0", "sampler": "#97bbf5"}
OTHER = "#3ca951"


def read_results(folder):
    """-> the latest result of every machine, by name of the file."""
    latest = {}
    for path in sorted(Path(folder).glob("*.json")):
        if path.name.startswith("probe-"):
            continue  # of bench/probe.cu
        result = json.loads(path.read_text())
        if "format" not in result and "results" in result:  # torch_baseline.py by itself, with a machine and a date
            result = {"format": FORMAT, "machine": result["machine"], "date": result["date"], "torch": result}
        if result.get("format") != FORMAT:
            raise SystemExit(f"{path}: is no {FORMAT}")
        machine = result["machine"]
        latest[machine["cpu"], machine["cores"]] = (path.stem, result)
    return sorted(latest.values())


def measured(result):
    """-> ("released" or "embedded", its part): the largest network that has been measured."""
    name = "released" if result.get("released") else "embedded"
    return name, result[name]


# ---- plots

class Svg:
    def __init__(self, width, height):
        self.width, self.height, self.parts = width, height, []

    def add(self, text):
        self.parts.append(text)

    def rect(self, x, y, w, h, fill, title=""):
        inner = f"<title>{escape(title)}</title>" if title else ""
        self.add(f'<rect x="{x:.1f}" y="{y:.1f}" width="{w:.1f}" height="{h:.1f}" fill="{fill}">{inner}</rect>')

    def line(self, x1, y1, x2, y2, stroke="#ddd", width=1.0, dash=""):
        dashes = f' stroke-dasharray="{dash}"' if dash else ""
        self.add(f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{stroke}" '
                 f'stroke-width="{width}"{dashes}/>')

    def circle(self, x, y, r, fill, title):
        self.add(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{r:.1f}" fill="{fill}" fill-opacity="0.65" stroke="white" '
                 f'stroke-width="0.6"><title>{escape(title)}</title></circle>')

    def text(self, x, y, text, anchor="start", size=11, turn=0):
        turned = f' transform="rotate({turn} {x:.1f} {y:.1f})"' if turn else ""
        self.add(f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}"{turned}>{escape(text)}</text>')

    def legend(self, x, y, kinds):
        for i, kind in enumerate(kinds):
            self.rect(x, y + 18 * i, 11, 11, COLOURS.get(kind, OTHER))
            self.text(x + 16, y + 18 * i + 10, kind.replace("_", " "))

    def write(self, path):
        head = (f'<svg xmlns="http://www.w3.org/2000/svg" width="{self.width}" height="{self.height}" '
                f'viewBox="0 0 {self.width} {self.height}" font-family="sans-serif">')
        background = f'<rect width="{self.width}" height="{self.height}" fill="white"/>'
        Path(path).write_text("\n".join([head, background, *self.parts, "</svg>"]) + "\n")


def ticks(low, high):
    """Round numbers from low to high: powers of ten, and 2 and 5 times those where they would be few."""
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1,), (1, 2, 5)):
        found = [f * 10.0 ** e for e in exponents for f in factors if low <= f * 10.0 ** e <= high]
        if len(found) > 2:
            break
    return found


def machine_name(result):
    machine = result["machine"]
    cores = machine["cores"]
    return f"{machine['cpu']}, {cores} core{'s' if cores != 1 else ''}"


def short(number):
    return f"{number:g}" if 1e-3 <= number < 1e5 else f"{number:.0e}"


def roofline(path, result):
    """Every op with products by its intensity; beside it, by kind, the share of the roofline over all of its time."""
    name, part = measured(result)
    kernels, ceilings = part["kernels"]["kernels"], part["kernels"]["ceilings"]
    with_products = [k for k in kernels if k["flops"] > 0 and k["times"]]
    top, slope = ceilings["flops_per_second"], ceilings["bytes_per_second"]
    svg, left, right, upper, lower = Svg(900, 440), 70, 560, 50, 380
    xs = [k["flops"] / k["bytes"] for k in with_products] + [top / slope]
    ys = [k["flops_per_second"] for k in with_products] + [top]
    x_low, x_high, y_low, y_high = min(xs) / 1.6, max(xs) * 1.6, min(ys) / 1.6, max(ys) * 1.8

    def x_of(value):
        return left + (right - left) * math.log(value / x_low) / math.log(x_high / x_low)

    def y_of(value):
        return lower - (lower - upper) * math.log(value / y_low) / math.log(y_high / y_low)

    svg.text(left, 22, f"The ops of a step of the {name} UNet on {machine_name(result)}", size=14)
    svg.text(left, 40, "a circle is an op at one shape, its area its share of the step's time", size=10)
    for x in ticks(x_low, x_high):
        svg.line(x_of(x), upper, x_of(x), lower)
        svg.text(x_of(x), lower + 16, short(x), "middle")
    for y in ticks(y_low, y_high):
        svg.line(left, y_of(y), right, y_of(y))
        svg.text(left - 6, y_of(y) + 4, short(y / 1e9), "end")
    svg.text((left + right) / 2, lower + 36, "arithmetic intensity, FLOP per byte of the least traffic", "middle")
    svg.text(20, (upper + lower) / 2, "GFLOP/s", "middle", turn=-90)
    knee, start = top / slope, max(x_low, y_low / slope)
    svg.line(x_of(start), y_of(start * slope), x_of(knee), y_of(top), "black", 1.4)
    svg.line(x_of(knee), y_of(top), right, y_of(top), "black", 1.4)
    svg.text(left + 6, upper + 14, f"roofline: memory {slope / 1e9:.1f} GB/s, a large product {top / 1e9:.0f} GFLOP/s",
             "start", 10)
    for k in sorted(with_products, key=lambda k: -k["share"]):
        svg.circle(x_of(k["flops"] / k["bytes"]), y_of(k["flops_per_second"]), 3 + 34 * math.sqrt(k["share"]),
                   COLOURS.get(k["kind"], OTHER),
                   f"{k['op']}: {k['flops_per_second'] / 1e9:.1f} GFLOP/s, {100 * k['share']:.1f} % of the step")
    kinds = by_kind(kernels)
    svg.text(610, upper, "share of the roofline, over a kind's time", size=11)
    for i, (kind, sums) in enumerate(kinds):
        y = upper + 14 + 30 * i
        share = sums["ideal"] / sums["seconds"]
        svg.rect(700, y, 90 * min(share, 1.6), 16, COLOURS.get(kind, OTHER), f"{kind}: {100 * share:.0f} %")
        svg.text(694, y + 12, kind.replace("_", " "), "end")
        svg.text(890, y + 12, f"{100 * share:.0f} %", "end")
    bottom = upper + 14 + 30 * len(kinds)
    svg.line(790, upper + 8, 790, bottom, "black", 1, "3")
    svg.text(790, bottom + 14, "100 %", "middle", 10)
    svg.write(path)


def by_kind(kernels):
    """-> [(kind, {times, seconds, flops, bytes, ideal})], the longest first; ideal: seconds at the roofline."""
    kinds = {}
    for k in kernels:
        if not k["times"]:
            continue
        sums = kinds.setdefault(k["kind"], {"times": 0, "seconds": 0.0, "flops": 0.0, "bytes": 0.0, "ideal": 0.0})
        seconds = k["times"] * k["seconds"]["median"]
        sums["times"] += k["times"]
        sums["seconds"] += seconds
        sums["flops"] += k["times"] * k["flops"]
        sums["bytes"] += k["times"] * k["bytes"]
        sums["ideal"] += seconds * k["roofline"]
    return sorted(kinds.items(), key=lambda item: -item[1]["seconds"])


def levels(path, result):
    """A bar a level of the UNet, made of kinds of op."""
    name, part = measured(result)
    step = part["step"]
    rows = list(step["levels"].items())
    longest = max(level["seconds"] for _, level in rows)
    kinds = [kind for kind, _ in sorted(step["kinds"].items(), key=lambda item: -item[1]["seconds"])]
    svg, left, width = Svg(900, max(60 + 44 * len(rows), 60 + 18 * len(kinds))), 80, 520
    svg.text(left, 22, f"A step of the {name} UNet by level, {step['seconds']:.3g} s on {machine_name(result)}", size=14)
    svg.text(left, 40, "level: width x height of what its layers work on; then its time, its share of the step, its rate", size=10)
    for i, (level, values) in enumerate(rows):
        x, y = left, 50 + 44 * i
        svg.text(left - 8, y + 20, level, "end")
        for kind in kinds:
            seconds = values["kinds"].get(kind, 0)
            w = width * seconds / longest
            svg.rect(x, y, w, 30, COLOURS.get(kind, OTHER), f"{level} {kind}: {seconds:.4g} s")
            x += w
        rate = values["flops"] / values["seconds"] / 1e9
        share = 100 * values["seconds"] / step["sum_seconds"]
        svg.text(x + 6, y + 19, f"{seconds_text(values['seconds'])}, {share:.0f} %, {rate:.0f} GFLOP/s", size=10)
    svg.legend(780, 50, [k for k in kinds if step["kinds"][k]["seconds"] > 0.002 * step["sum_seconds"]])
    svg.write(path)


# ---- the table

def best_torch(result):
    """-> (seconds of PyTorch's best variant, its name, the ratio to ours) or None."""
    torch = result.get("torch")
    if not torch or not torch["results"]:
        return None
    best = min(torch["results"], key=lambda r: r["seconds"])
    return best["seconds"], best["variant"], best["ratio"]["median"] if "ratio" in best else None


def seconds_text(seconds):
    if seconds >= 1:
        return f"{seconds:.1f} s" if seconds >= 10 else f"{seconds:.2f} s"
    return f"{1e3 * seconds:.0f} ms" if seconds >= 0.01 else f"{1e3 * seconds:.2f} ms"


def table(rows):
    return ["| " + " | ".join(rows[0]) + " |", "|" + "---|" * len(rows[0])] + [
        "| " + " | ".join(row) + " |" for row in rows[1:]]


def torch_text(result):
    """The comparison with PyTorch as a sentence, or nothing."""
    torch = result.get("torch")
    if not torch or not torch["results"]:
        return []
    network = {"released": "released UNet", "mini": "a small UNet"}[torch["size"]]
    parts = []
    for r in torch["results"]:
        part = f"{r['variant'].replace('_', ' ')} {seconds_text(r['seconds'])}"
        if "ratio" in r:
            part += f", {r['ratio']['median']:.2f} times our {seconds_text(r['ours']['median'])}"
        if r.get("load_before", 0) > 0.5:
            part += f" (system load {r['load_before']:.1f} before)"
        parts.append(part)
    return ["", f"One pass of the {network} in PyTorch {torch['results'][0]['torch']} on {machine_name(result)}, {result['date']}, "
            f"{torch['threads']} threads, alternately with ours: " + "; ".join(parts) + "."]


def machine_rows(results):
    rows = [["machine", "released model: a guided step", "of the rate of a large product", "in bf16", "one pass in PyTorch",
             "embedded model: a guided step", "a whole job", "videos an hour", "memory at most"]]
    for _, result in results:
        if "embedded" not in result:
            continue
        embedded, released, torch = result["embedded"], result.get("released"), best_torch(result)
        row = [machine_name(result)]
        if released:
            rate = released["step"]["flops"] / released["step"]["seconds"]
            top = released["kernels"]["ceilings"]["flops_per_second"]
            row += [f"{seconds_text(released['step']['seconds'])}, {rate / 1e9:.0f} GFLOP/s", f"{100 * rate / top:.0f} %"]
            half = result["bf16"]["step"] if "bf16" in result else None
            row.append(f"{seconds_text(half['seconds'])}, {released['step']['seconds'] / half['seconds']:.2f} times as fast"
                       if half else "")
        else:
            row += ["", "", ""]
        row.append(f"{torch[2]:.2f} times our time ({torch[1].replace('_', ' ')})" if torch and torch[2] else "")
        job = embedded["generate"]
        row += [seconds_text(embedded["step"]["seconds"]), seconds_text(job["seconds"]),
                f"{job['videos_per_hour']:.0f}", f"{job['peak_bytes'] / 2**20:.0f} MiB"]
        rows.append(row)
    return rows


def kind_rows(result):
    _, part = measured(result)
    kinds = by_kind(part["kernels"]["kernels"])
    total = sum(sums["seconds"] for _, sums in kinds)
    theirs = result.get("torch_kernels", {}).get("kinds", {})
    rows = [["kind of op", "ops in a step", "time", "share", "GFLOP/s", "GB/s", "of the roofline"]]
    if theirs:
        rows[0].append("in PyTorch")
    for kind, sums in kinds:
        rows.append([kind.replace("_", " "), str(sums["times"]), seconds_text(sums["seconds"]),
                     f"{100 * sums['seconds'] / total:.1f} %",
                     f"{sums['flops'] / sums['seconds'] / 1e9:.0f}" if sums["flops"] else "",
                     f"{sums['bytes'] / sums['seconds'] / 1e9:.1f}", f"{100 * sums['ideal'] / sums['seconds']:.0f} %"])
        if theirs:
            rows[-1].append(f"{theirs[kind]['ratio']:.2f} times our time" if kind in theirs else "")
    return rows


def network_text(result):
    """The networks around the UNet beside PyTorch's, as a table, or nothing."""
    torch = result.get("torch_networks")
    if not torch:
        return []
    rows = [["network", "input", "ours", "PyTorch", "ratio", "from, to"]]
    for r in torch["results"]:
        ratio = r["ratio"]
        rows.append([r["network"], " x ".join(map(str, r["input"])), seconds_text(r["ours"]["median"]),
                     seconds_text(r["theirs"]["median"]), f"{ratio['median']:.2f}",
                     f"{ratio['least']:.2f}, {ratio['most']:.2f}"])
    version = torch["results"][0]["torch"]
    return ["", f"The networks around the UNet at their released sizes, alternately with PyTorch {version} "
            f"({torch['threads']} threads, median of {torch['repeats']} turns; ratio: PyTorch's time over ours):", "",
            *table(rows)]


# part of a result, the command that measures it alone, what that is
COMMANDS = (
    ("released", "build/videocomposer bench step --released", "a guided step, by kind of op and by level"),
    ("bf16", "build/videocomposer bench step --released --dtype bf16", "the same in bf16"),
    ("released", "build/videocomposer bench kernels --released", "its ops one by one, against the roofline"),
    ("embedded", "build/videocomposer bench step", "a guided step of the embedded model"),
    ("embedded", "build/videocomposer bench generate", "a whole job of the embedded model, by phase"),
    ("torch", "python3 bench/torch_baseline.py --variants channels_last --ours 'build/videocomposer bench step --released "
     "--no-guidance --conditions style --backend cpu --runs 1 --json'", "one pass of the UNet"),
    ("torch_kernels", "python3 bench/torch_kernels.py --ours build/videocomposer -- --released", "its ops in PyTorch"),
    ("torch_networks", "python3 bench/torch_networks.py --ours build/videocomposer --frames 4", "the other networks"),
)


def how_text(results):
    lines = ["", "`make bench` (`TORCH_PYTHON=...`: a Python that has PyTorch) measures all of this and writes it here; each part "
             "by itself:", ""]
    lines += [f"    {command}  # {what}" for part, command, what in COMMANDS if any(part in r for _, r in results)]
    return lines + ["", "GFLOP/s and GB/s are an op's arithmetic and the least that it must read and write, over its time. The "
                    "roofline is what a large product and a large copy in memory reach here; ops whose data lie in caches "
                    "exceed it, and so do 3x3 convolutions on the CPU, which take fewer products than are counted."]


def machine_text(name, result, plots):
    network, part = measured(result)
    kernels = part["kernels"]
    lines = [f"**{machine_name(result)}** ({result['machine']['system']}, {kernels['machine']}, "
             f"{result['date']}): one guided step of the {network} UNet by kind of op.", ""]
    lines += table(kind_rows(result))
    if "sum_over_step" in kernels:
        lines += ["", f"The ops timed one by one add up to {100 * kernels['sum_over_step']:.0f} % of the step as a whole."]
    lines += torch_text(result) + network_text(result)
    return lines + ["", f"![roofline]({plots}/{name}-roofline.svg)", "", f"![levels]({plots}/{name}-levels.svg)"]


def figures(results, plots):
    if not results:
        return "Nothing has been measured yet: `make bench`."
    rows = machine_rows(results)
    lines = table(rows) if len(rows) > 1 else []
    for name, result in results:
        lines += [""] + machine_text(name, result, plots) if "embedded" in result else torch_text(result)
    return "\n".join(lines + how_text(results))


def put_between(text, path, inner):
    begin, end = text.find(BEGIN), text.find(END)
    if begin < 0 or end < begin:
        raise SystemExit(f"{path}: has no {BEGIN} and {END} to write between")
    return text[:begin + len(BEGIN)] + "\n" + inner + "\n" + text[end:]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", default=str(HERE / "results"), metavar="DIR")
    parser.add_argument("--readme", default=str(HERE.parent / "README.md"), metavar="FILE")
    parser.add_argument("--check", action="store_true", help="change nothing, tell by the exit status")
    a = parser.parse_args()
    results, readme = read_results(a.results), Path(a.readme)
    plots = Path(os.path.relpath(a.results, readme.parent)).as_posix()
    before = readme.read_text()
    after = put_between(before, a.readme, figures(results, plots))
    if a.check:
        if after != before:
            print(f"{a.readme}: is not what {a.results} says; bench/render.py", file=sys.stderr)
        return int(after != before)
    for name, result in results:
        if "embedded" not in result:
            continue
        roofline(Path(a.results) / f"{name}-roofline.svg", result)
        levels(Path(a.results) / f"{name}-levels.svg", result)
    readme.write_text(after)
    return 0


if __name__ == "__main__":
    sys.exit(main())
