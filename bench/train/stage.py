"""What the stages of training share: budget, checkpoints, averaged weights, a pool of drawn clips, weights files."""
import copy
import json
import math
import os
import signal
import struct
import sys
import time
from contextlib import nullcontext

import torch
import torch.distributed as workers
from torch import nn

import world
from muon import Muon

LONGEST_STEP = 20.0  # seconds: on a CPU a longer one was a pause of the process, and is not counted


class Interrupted(SystemExit):
    """The process was asked to end, or its slice of time is over; the checkpoint is written."""


class Stage:
    """Training of some modules for a number of minutes: iterate over it, and call `update` once in each turn.

    The learning rate warms up and follows a cosine down to a fiftieth. What was trained is kept in WORK/<name>.pt,
    every two minutes and at the end, and a stage goes on from there. The minutes that it has used are kept too; on a GPU
    they begin with its construction, so that drawing and compiling count.
    """
    stop = False

    def __init__(self, a, name, modules, rate, minutes, warmup=200, average=None, decay=0.999, weight_decay=1e-3,
                 by_muon=lambda name, p: False):
        """modules: {key: Module}, all trained where they require gradients; average: key of the one whose averaged
        weights are kept under "average"; by_muon: which parameters Muon trains, AdamW the others."""
        self.a, self.name, self.modules, self.rate, self.minutes = a, name, dict(modules), rate, minutes
        self.warmup, self.decay, self.path = warmup, decay, a.work / (name + ".pt")
        for p in (p for module in modules.values() for p in module.parameters() if p.dim() == 4):
            p.data = p.data.contiguous(memory_format=torch.channels_last)
        named = [(n, p) for m in modules.values() for n, p in m.named_parameters() if p.requires_grad]
        self.parameters = [p for _, p in named]
        kinds = [p for n, p in named if by_muon(n, p)], [p for n, p in named if not by_muon(n, p)]
        self.optimizers = [torch.optim.AdamW(kinds[1], rate, betas=(0.9, 0.98), weight_decay=weight_decay, fused=True)]
        if kinds[0]:
            self.optimizers.append(Muon(kinds[0], rate, weight_decay=weight_decay))
        self.trained = self.modules.get(average)
        if average:
            self.modules["average"] = copy.deepcopy(self.trained).requires_grad_(False)
        self.step, self.spent, self.done, self.seen = 0, 0.0, False, {}
        self.started = time.monotonic()
        if self.path.exists():
            self.load()
        torch.manual_seed(a.seed + self.step + 7919 * rank())
        self.generator = torch.Generator().manual_seed(1000003 * a.seed + self.step + 7919 * rank())

    def load(self):
        state = torch.load(self.path, map_location=self.a.device, weights_only=True)
        for key, module in self.modules.items():
            module.load_state_dict(state[key])
        for optimizer, values in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(values)
        self.step, self.spent, self.done = state["step"], state["spent"], state["done"]

    def save(self):
        self.saved = time.monotonic()
        if rank():
            return
        state = {key: module.state_dict() for key, module in self.modules.items()}
        state |= {"optimizers": [o.state_dict() for o in self.optimizers], "step": self.step, "spent": self.spent,
                  "done": self.done}
        fresh = self.path.with_suffix(".new")
        torch.save(state, fresh)
        os.replace(fresh, self.path)

    @property
    def progress(self):
        return min(1.0, self.spent / (60 * self.minutes))

    def __iter__(self):
        last, self.saved = self.started, time.monotonic()
        for module in self.modules.values():
            share_state(module)
        while not self.done:
            for group in (group for optimizer in self.optimizers for group in optimizer.param_groups):
                group["lr"] = self.rate * min(1, (self.step + 1) / self.warmup) * (
                    0.02 + 0.49 * (1 + math.cos(math.pi * self.progress)))
            yield self.progress
            self.step += 1
            now = time.monotonic()
            took = now - last if self.a.device == "cuda" else min(now - last, LONGEST_STEP)
            self.spent, over, last = self.spent + took, Stage.stop or now > self.a.slice_ends, now
            if workers.is_initialized():  # all agree on the time and on the end
                said = torch.tensor([self.spent, float(over)], dtype=torch.float64)
                workers.all_reduce(said)
                self.spent, over = float(said[0]) / processes(), bool(said[1])
            self.done = self.progress >= 1
            if self.done or over or now - self.saved > 120:
                self.save()
            if over and not self.done:
                say(f"{self.name}: stopped after {self.step} steps; the same command goes on from here")
                raise Interrupted(0)

    def update(self, loss, **shown):
        """One step of the optimizer and of the averaged weights; prints the mean of what is shown now and then."""
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
        loss.backward()
        share_gradients(self.parameters)
        nn.utils.clip_grad_norm_(self.parameters, 1.0)
        for optimizer in self.optimizers:
            optimizer.step()
        if self.trained is not None:
            decay = min(self.decay, (1 + self.step) / (20 + self.step))
            with torch.no_grad():
                torch._foreach_lerp_(list(self.modules["average"].parameters()), list(self.trained.parameters()),
                                     1 - decay)
        for key, value in {"loss": loss, **shown}.items():
            old = self.seen.get(key, value.detach())
            self.seen[key] = old + 0.03 * (value.detach() - old)
        if self.step % 50 == 0:
            say(f"{self.name} {self.step:6d} {self.spent:6.0f} s  " +
                "  ".join(f"{key} {float(value):.4f}" for key, value in self.seen.items()))


def rank():
    """Of this process among those of torchrun; 0 alone."""
    return workers.get_rank() if workers.is_initialized() else 0


def processes():
    return workers.get_world_size() if workers.is_initialized() else 1


@torch.no_grad()
def share_gradients(parameters):
    """Each process gets the mean of all. What one leaves out in a step, all leave out."""
    if not workers.is_initialized():
        return
    gradients = [p.grad for p in parameters if p.grad is not None]
    flat = torch.cat([g.flatten() for g in gradients]) / processes()
    workers.all_reduce(flat)
    for g, mean in zip(gradients, flat.split([g.numel() for g in gradients])):
        g.copy_(mean.view(g.shape))


@torch.no_grad()
def share_state(module):
    """All processes go on with the first one's."""
    if not workers.is_initialized():
        return
    for tensor in module.state_dict().values():
        whole = tensor.contiguous()
        workers.broadcast(whole, 0)
        tensor.copy_(whole)


def say(text):
    if not rank():
        print(text, file=sys.stderr, flush=True)


def stop_on_signals():
    def note(*_):
        Stage.stop = True
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, note)


def autocast(a):
    return torch.autocast(a.device, torch.bfloat16) if a.bf16 else nullcontext()


def compiled(a, function):
    """torch.compile's version where asked for; the plain one if the first call of that fails."""
    if not a.compile:
        return function
    chosen = [torch.compile(function)]

    def call(*args, **named):
        try:
            return chosen[0](*args, **named)
        except Exception as problem:  # no compiler on this machine, an unsupported operator, ...
            if chosen[0] is function:
                raise
            say(f"torch.compile failed, going on without it: {str(problem)[:300]}")
            chosen[0] = function
            return function(*args, **named)
    return call


class Pool:
    """Clips on the device, of which some are replaced in every step: each is used a few times with other noise."""

    def __init__(self, make, size, part):
        """make(n) -> {name: tensor [n, ...]}; part: how many are made at a time."""
        self.make, self.size, self.next, self.data = make, size, 0, {}
        for at in range(0, size, part):
            fresh = make(min(part, size - at))
            for key, value in fresh.items():
                if key not in self.data:
                    self.data[key] = value.new_empty(size, *value.shape[1:])
                self.data[key][at:at + len(value)] = value

    def refresh(self, n):
        n = min(n, self.size - self.next)
        for key, value in self.make(n).items():
            self.data[key][self.next:self.next + n] = value
        self.next = (self.next + n) % self.size


def frame_pool(a, generator):
    def make(n):
        frames, depth, _, _ = world.render(world.draw_scenes(generator, n), a.device)
        return {"frames": frames, "depth": depth}
    return Pool(make, a.frame_pool, 32)


def signed(frames):
    """uint8 -> float32 in -1 .. 1."""
    return frames.float() / 127.5 - 1


# ---- weights files

KINDS = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "I64": torch.int64}


def write_weights(path, state, note=None):
    """A safetensors file in fp16."""
    header, blobs, at = {"__metadata__": {"note": note}} if note else {}, [], 0
    for key, tensor in state.items():
        blob = tensor.detach().cpu().half().contiguous().flatten().view(torch.uint8).numpy().tobytes()
        header[key] = {"dtype": "F16", "shape": list(tensor.shape), "data_offsets": [at, at + len(blob)]}
        blobs.append(blob)
        at += len(blob)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    fresh = path.with_suffix(".new")
    fresh.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(blobs))
    os.replace(fresh, path)


def read_weights(path):
    data = bytearray(path.read_bytes())
    start = 8 + struct.unpack("<Q", data[:8])[0]
    header, state = json.loads(data[8:start]), {}
    for key, entry in header.items():
        if key != "__metadata__":
            kind, (first, last) = KINDS[entry["dtype"]], entry["data_offsets"]
            raw = torch.frombuffer(data[start + first:start + last], dtype=torch.uint8)
            state[key] = raw.view(kind).reshape(entry["shape"]).float()
    return state
