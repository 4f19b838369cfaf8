#!/usr/bin/env python3
"""Times one pass of the UNet in PyTorch 2.x, beside this engine's, in the same run.

Each variant is measured in a process of its own (so that its peak memory is its own), one after another. Without
warm-up a measurement counts what happens once, so every variant first makes `--warmup` passes that are not counted.
With --ours each repetition first runs that command, which must print one JSON object with a number "seconds" as its
last line, then one pass of PyTorch: what slows the machine down slows both.

The result is one JSON object on standard output; progress goes to standard error. Ratios are PyTorch's seconds over
ours, repetition by repetition: above 1, we are faster.

    torch_baseline.py                                       the released UNet, eager and channels-last
    torch_baseline.py --variants channels_last --threads 2 --ours 'build/videocomposer bench step --json ...'
    torch_baseline.py --size mini --repeats 2               a small network: does everything work?

Variants: `eager` is a plain implementation (two products and a softmax for attention, 3-D convolutions, planar memory);
`sdpa` adds the library's fused attention; `folded` also makes convolutions over time two-dimensional; `channels_last`
also changes the memory format; `compile` is `channels_last` through torch.compile, `compile_frozen` with its weights
frozen (prepacked) as well. Random weights, text and one style token, no video conditions. The released network in
float32 needs 7 to 12 GB of memory, and --ours its own on top. A busy machine hurts PyTorch's threads out of proportion
(they wait for each other): look at `load_before`, the system's load average, which should be near 0. With --threads 1
`cpu_seconds`, the processor time of a pass, says more there than `seconds`.
"""
import argparse
import json
import os
import resource
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

VARIANTS = {  # options, compiled, frozen
    "eager": ({"sdpa": False, "channels_last": False, "fold_time": False}, False, False),
    "sdpa": ({"sdpa": True, "channels_last": False, "fold_time": False}, False, False),
    "folded": ({"sdpa": True, "channels_last": False, "fold_time": True}, False, False),
    "channels_last": ({"sdpa": True, "channels_last": True, "fold_time": True}, False, False),
    "compile": ({"sdpa": True, "channels_last": True, "fold_time": True}, True, False),
    "compile_frozen": ({"sdpa": True, "channels_last": True, "fold_time": True}, True, True),
}
SIZES = {"released": {}, "mini": {"dim": 64, "num_res_blocks": 1, "head_dim": 32, "context_dim": 256}}


def say(text):
    print(text, file=sys.stderr, flush=True)


def unet_config(a):
    from torch_model import UNetConfig
    return UNetConfig(stc_size=(4 * a.height, 4 * a.width), **SIZES[a.size])


def build(a):
    """-> a function that runs one pass and returns when it is done."""
    import torch

    from torch_layers import Options, random_model
    from torch_model import UNet
    options, compiled, frozen = VARIANTS[a.worker]
    torch.set_num_threads(a.threads)
    cfg, dtype = unet_config(a), getattr(torch, a.dtype)
    model = random_model(lambda: UNet(cfg, Options(**options)), dtype, a.device)
    if compiled:
        import torch._inductor.config as inductor
        inductor.freezing = frozen
        inductor.compile_threads = a.threads
        model = torch.compile(model)
    generator = torch.Generator().manual_seed(1)

    def normal(*shape):
        return torch.randn(*shape, generator=generator).to(a.device, dtype)
    x = normal(a.videos, cfg.in_dim, a.frames, a.height, a.width)
    t = torch.full((a.videos,), 500.0, device=a.device, dtype=dtype)
    y, image = normal(a.videos, a.tokens, cfg.context_dim), normal(a.videos, 1, cfg.context_dim)

    def run():
        with torch.no_grad():
            out = model(x, t, y=y, image=image)
        if a.device != "cpu":
            torch.cuda.synchronize()
        if not bool(torch.isfinite(out).all()):
            raise SystemExit("the result is not finite")
    return run


def serve(run, device, **about):
    """Tells about itself, then runs one pass for each line read, answering with its seconds; the end is told in a last
    line."""
    import torch
    print(json.dumps({"torch": torch.__version__, **about}), flush=True)
    for _ in sys.stdin:
        start, cpu = time.perf_counter(), time.process_time()
        run()
        print(json.dumps({"seconds": time.perf_counter() - start, "cpu": time.process_time() - cpu}), flush=True)
    peak = {"peak_rss_bytes": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}
    if device != "cpu":
        peak["peak_device_bytes"] = torch.cuda.max_memory_allocated()
    print(json.dumps(peak), flush=True)


def answer(process):
    line = process.stdout.readline()
    if not line:
        raise SystemExit(f"a PyTorch process ended with status {process.wait()}; its messages stand above")
    return json.loads(line)


def ours_result(command):
    """Runs the command -> "flops" (None: not told) and "seconds" of the JSON object in its output or last line."""
    done = subprocess.run(command, shell=True, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise SystemExit(f"--ours ended with status {done.returncode}: {command}")
    try:
        text = done.stdout.strip()
        result = json.loads(text if text.startswith("{") else text.splitlines()[-1])
        if not result["seconds"] > 0:
            raise ValueError
        return result.get("flops"), float(result["seconds"])
    except (ValueError, KeyError, IndexError, TypeError):
        raise SystemExit(f'--ours must end its output with a JSON object that has a positive "seconds": {command}')


def spread(values):
    values = [round(value, 4) for value in values]
    return {"median": statistics.median(values), "least": min(values), "most": max(values), "all": values}


def alternate(a, name, worker, ours_command):
    """Starts the worker (a command), and lets it and ours take turns -> what both took, and their ratio."""
    process = subprocess.Popen(worker, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                               env={**os.environ, "OMP_NUM_THREADS": str(a.threads)})
    theirs, ours, cpu, load = [], [], [], os.getloadavg()[0]
    try:
        about = answer(process)
        for i in range(-a.warmup, a.repeats):
            if i >= 0 and ours_command:
                about["our_flop"], seconds = ours_result(ours_command)
                ours.append(seconds)
            process.stdin.write("pass\n")
            process.stdin.flush()
            reply = answer(process)
            seconds = reply["seconds"]
            beside = f", ours {ours[-1]:.3f} s" if ours else ""
            say(f"{name} {'warm-up' if i < 0 else i + 1}: {seconds:.3f} s{beside}")
            if i >= 0:
                theirs.append(seconds)
                cpu.append(reply["cpu"])
        process.stdin.close()
        end = answer(process)
    finally:
        process.kill()
        process.wait()
    result = {**about, "seconds": round(statistics.median(theirs), 4), "theirs": spread(theirs),
              "cpu_seconds": spread(cpu), **end, "load_before": load, "load_after": os.getloadavg()[0]}
    if ours:
        result["ours"] = spread(ours)
        result["ratio"] = spread([t / o for t, o in zip(theirs, ours)])
    return result


def measure(a, variant, flop):
    options = ["--worker", variant] + [f"--{key.replace('_', '-')}={getattr(a, key)}" for key in
                                       ("size", "videos", "frames", "height", "width", "tokens", "threads", "dtype",
                                        "device")]
    result = alternate(a, variant, [sys.executable, __file__, *options], a.ours)
    return {"variant": variant, **result, "gflops_per_second": round(flop / result["seconds"] / 1e9, 2)}


def count_flop(a):
    """In a process that ends, so that PyTorch's memory is not there while others are measured."""
    code = ("import sys, json; sys.path.insert(0, sys.argv[1]); import torch_baseline, torch_model; "
            "a = torch_baseline.parse(sys.argv[2:]); "
            "print(json.dumps(torch_model.released_counts(a.frames, a.height, a.width, a.tokens, a.videos, "
            "torch_baseline.unet_config(a))['unet']))")
    keys = ("size", "videos", "frames", "height", "width", "tokens")
    done = subprocess.run([sys.executable, "-c", code, str(Path(__file__).resolve().parent),
                           *[f"--{key}={getattr(a, key)}" for key in keys]], stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise SystemExit("PyTorch could not count the network's operations; its messages stand above")
    return json.loads(done.stdout)


def at_least(least):
    def parse_number(text):
        value = int(text)
        if value < least:
            raise argparse.ArgumentTypeError(f"{value} is less than {least}")
        return value
    return parse_number


def parse(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cores = len(os.sched_getaffinity(0))
    parser.add_argument("--variants", default="eager,channels_last", help="comma-separated: " + ", ".join(VARIANTS))
    parser.add_argument("--size", default="released", choices=SIZES)
    parser.add_argument("--videos", type=at_least(1), default=1, help="videos in one pass; 2 is one guided step")
    parser.add_argument("--frames", type=at_least(1), default=16)
    parser.add_argument("--height", type=at_least(8), default=32, help="of the latent; a multiple of 8")
    parser.add_argument("--width", type=at_least(8), default=32)
    parser.add_argument("--tokens", type=at_least(1), default=77, help="text tokens; one style token is added")
    parser.add_argument("--threads", type=at_least(1), default=cores)
    parser.add_argument("--dtype", default="float32", choices=("float32", "float16", "bfloat16"))
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--repeats", type=at_least(1), default=3)
    parser.add_argument("--warmup", type=at_least(0), default=1)
    parser.add_argument("--ours", metavar="COMMAND", help='prints a JSON object with "seconds"; run through the shell')
    parser.add_argument("--worker", choices=VARIANTS, help=argparse.SUPPRESS)
    a = parser.parse_args(arguments)
    unknown = [v for v in a.variants.split(",") if v not in VARIANTS]
    if unknown:
        parser.error(f"unknown variant {unknown[0]!r}; choose from {', '.join(VARIANTS)}")
    if a.height % 8 or a.width % 8:
        parser.error("height and width must be multiples of 8")
    return a


def main():
    a = parse()
    if a.worker:
        return serve(build(a), a.device)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that no measuring process is left behind
    counts = count_flop(a)
    say(f"{a.size} UNet: {counts['parameters']} parameters, {counts['flop'] / 1e12:.3f} TFLOP a pass")
    keys = "size videos frames height width tokens threads dtype device repeats warmup ours".split()
    setting = {key: getattr(a, key) for key in keys}
    results = [measure(a, variant, counts["flop"]) for variant in a.variants.split(",")]
    print(json.dumps({**setting, **counts, "results": results}, indent=1))


if __name__ == "__main__":
    main()
