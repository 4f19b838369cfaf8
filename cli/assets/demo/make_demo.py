"""Makes the condition files of `make demo` in this folder, with Python's standard library alone.

A disc moves over a backdrop: its exact depth (backdrop 5 + 6 y / height, disc 22, as fractions of 40 in 8 bits), its
outline as bright lines on black, a clip of it to be repainted with the mask of the half that the disc does not touch,
and a stroke that moves what is in the middle to the right. The embedded model makes 8 frames of 128 x 128.
"""
import json
import math
import struct
import zlib
from pathlib import Path

SIZE, FRAMES, RADIUS = 128, 8, 24
HERE = Path(__file__).parent


def write_png(path, rows, channels):
    """rows: SIZE lists of SIZE * channels values 0..255."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    path.parent.mkdir(exist_ok=True)
    header = struct.pack(">IIBBBBB", SIZE, SIZE, 8, 2 if channels == 3 else 0, 0, 0, 0)
    raw = b"".join(b"\0" + bytes(row) for row in rows)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(raw, 9)) +
                     chunk(b"IEND", b""))


def distance(x, y, center):
    return math.hypot(x - center[0], y - center[1]) - RADIUS


def cover(d):
    return min(1.0, max(0.0, 0.5 - d / 1.3))


def picture(value, center, channels):
    return [[v for x in range(SIZE) for v in value(x, y, distance(x, y, center))] for y in range(SIZE)]


def depth(x, y, d):
    back = 5 + 6 * y / SIZE
    return [round((back + cover(d) * (22 - back)) * 255 / 40)]


def sketch(x, y, d):
    return [round(255 * math.exp(-(d / 1.3) ** 2))]


def color(x, y, d):
    a, shade = cover(d), 1 - 0.28 * math.exp(min(d, 0) / 2)
    return [round(b + a * (s * shade - b)) for b, s in zip((128, 130, 134), (48, 88, 228))]


def main():
    for f in range(FRAMES):
        center = (32 + 64 * f / (FRAMES - 1), 64)
        write_png(HERE / "depth" / f"{f:04d}.png", picture(depth, center, 1), 1)
        write_png(HERE / "sketch" / f"{f:04d}.png", picture(sketch, center, 1), 1)
        center = (30, 44 + 40 * f / (FRAMES - 1))
        write_png(HERE / "source" / f"{f:04d}.png", picture(color, center, 3), 3)
    write_png(HERE / "mask.png", [[255 if x >= SIZE // 2 else 0 for x in range(SIZE)] for y in range(SIZE)], 1)
    stroke = {"points": [[36, 64], [92, 64]], "frames": [0, 7], "radius": 26, "strength": 1.0}
    (HERE / "strokes.json").write_text(json.dumps({"canvas": [SIZE, SIZE], "strokes": [stroke]}) + "\n")


if __name__ == "__main__":
    main()
