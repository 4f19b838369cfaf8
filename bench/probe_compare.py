#!/usr/bin/env python3
"""Compares two dumps of bench/probe.cu: a GPU's with the emulator's, or with an earlier one.

  bench/probe_compare.py WANT.json GOT.json

Probes must be equal to the bit, or as near as their "ulp" says. Those that only one side has are listed, and count as
differences unless the other device is no sm_90. Exit status 0 when nothing differs.
"""
import json
import struct
import sys


def words(text):
    return [int(text[i : i + 8], 16) for i in range(0, len(text), 8)]


def ordered(bits):
    """Floats in their order, as integers; the two zeros are one."""
    return -(bits & 0x7FFFFFFF) if bits >> 31 else bits


def is_nan(bits):
    return bits & 0x7FFFFFFF > 0x7F800000


def distance(a, b, ulp):
    if a == b:
        return 0
    if not ulp or is_nan(a) != is_nan(b):
        return float("inf")
    return 0 if is_nan(a) else abs(ordered(a) - ordered(b))


def compare(got, want):
    """(worst distance, its index, how many are too far)."""
    a, b, ulp = words(got["bits"]), words(want["bits"]), want["ulp"]
    if len(a) != len(b):
        return float("inf"), 0, max(len(a), len(b))
    far = [distance(x, y, ulp) for x, y in zip(a, b)]
    worst = max(far)
    return worst, far.index(worst), sum(d > ulp for d in far)


def value(text, at, ulp):
    bits = words(text)[at]
    return f"{struct.unpack('<f', struct.pack('<I', bits))[0]!r}" if ulp else f"{bits:08x}"


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    sides = []
    for path in sys.argv[1:]:
        with open(path) as file:
            sides.append(json.load(file))
    want, got = ({p["name"]: p for p in side["probes"]} for side in sides)
    print(f"{sides[1]['device']} ({sides[1]['compute_capability']}) against "
          f"{sides[0]['device']} ({sides[0]['compute_capability']})")
    optional = any(side["compute_capability"].split(".")[0] != "9" for side in sides)
    bad = 0
    for name in dict.fromkeys([*want, *got]):
        if name not in got or name not in want:
            print(f"{'      ' if optional else 'DIFFER'}  {name}: only in {sys.argv[2 if name in got else 1]}")
            bad += not optional
            continue
        worst, at, wrong = compare(got[name], want[name])
        bad += wrong > 0
        ulp = want[name]["ulp"]
        detail = "" if not worst else f": {worst} ulp at {at}" if ulp else f" at {at}"
        if wrong:
            detail += (f", {wrong} values; got {value(got[name]['bits'], at, ulp)}, "
                       f"want {value(want[name]['bits'], at, ulp)}")
        print(f"{'DIFFER' if wrong else 'ok    '}  {name}{detail}")
    print(f"{bad} of {len(set(got) | set(want))} probes differ")
    return bad != 0


if __name__ == "__main__":
    sys.exit(main())
