"""The world of shapes: short clips with exact conditions, drawn in PyTorch on any device, many at a time.

A clip has 8 frames of 128 x 128 pixels at 4 frames a second. One or two lit shapes move over a plain, graded or softly
textured backdrop. `draw_scenes` chooses what happens (on the CPU, as tensors), `render` makes pixels, depth and
sketches, `motion_blocks` what a video codec would report, `masks` regions to repaint. The words are in captions.py.

Shapes have radii of 22 pixels and more: the autoencoder's latent has one cell for 8 x 8 pixels, and what is smaller
than two cells, such as the arms of a cross, can hardly be told apart there.
"""
import math
from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F

SIZE, FRAMES, BLOCK = 128, 8, 16
COLORS = {"red": (222, 48, 44), "orange": (245, 140, 28), "yellow": (246, 218, 58), "green": (52, 178, 72),
          "cyan": (58, 205, 220), "blue": (48, 88, 228), "purple": (150, 62, 200), "pink": (246, 128, 188)}
BACKDROPS = {"black": (26, 26, 32), "gray": (128, 130, 134), "white": (236, 235, 230), "blue": (72, 108, 172),
             "green": (84, 138, 92), "brown": (112, 78, 52), "beige": (212, 192, 154), "violet": (112, 92, 146)}
SHAPES = ("circle", "square", "triangle", "star", "ring", "cross")
SURFACES = ("plain", "gradient", "textured")
D = 0.5 ** 0.5
WAYS = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1),
        "up and to the left": (-D, -D), "up and to the right": (D, -D),
        "down and to the left": (-D, D), "down and to the right": (D, D),
        "still": (0, 0), "circling": (0, 0), "growing": (0, 0), "shrinking": (0, 0)}
MOTIONS, STRAIGHT = list(WAYS), 8  # the first STRAIGHT motions are along a line
CIRCLING, GROWING, SHRINKING = (MOTIONS.index(m) for m in ("circling", "growing", "shrinking"))
WEIGHTS = torch.tensor([3, 3, 3, 3, 1.5, 1.5, 1.5, 1.5, 2, 2, 1.5, 1.5])  # how often each motion is drawn
NOWHERE = -1000.0  # where the second shape of a clip is that has one


@dataclass
class Scenes:
    """n clips with two places for shapes each; the second may be empty (`two` is then 0)."""
    backdrop: torch.Tensor      # [n] index into BACKDROPS
    surface: torch.Tensor       # [n] index into SURFACES
    backdrop_rgb: torch.Tensor  # [n, 3] in 0 .. 255
    lean: torch.Tensor          # [n] -1 or 1: which way a gradient goes
    texture: torch.Tensor       # [n, 9, 9]
    two: torch.Tensor           # [n] 1 where there is a second shape
    color: torch.Tensor         # [n, 2] index into COLORS
    shape: torch.Tensor         # [n, 2] index into SHAPES
    motion: torch.Tensor        # [n, 2] index into MOTIONS
    speed: torch.Tensor         # [n, 2] pixels a frame, of straight motions
    rgb: torch.Tensor           # [n, 2, 3]
    path: torch.Tensor          # [n, 2, FRAMES, 2] centres, x and y
    radii: torch.Tensor         # [n, 2, FRAMES]

    def __len__(self):
        return len(self.backdrop)

    def take(self, index):
        return Scenes(*(getattr(self, field.name)[index] for field in fields(self)))


def uniform(g, low, high, *shape):
    return low + (high - low) * torch.rand(*shape, generator=g)


def paths(g, motion, speed, radius):
    """-> centres [n, 2, FRAMES, 2] and radii [n, 2, FRAMES] of shapes that stay (nearly) inside the picture."""
    n, t = len(motion), torch.arange(FRAMES, dtype=torch.float32)
    way = torch.tensor(list(WAYS.values()))[motion]
    path = way[:, :, None] * speed[:, :, None, None] * (t - (FRAMES - 1) / 2)[:, None]
    turn = uniform(g, 0, 2 * torch.pi, n, 2, 1) + 2 * torch.pi * t / FRAMES * (
        torch.randint(2, (n, 2, 1), generator=g) * 2 - 1)
    circle = torch.stack([turn.cos(), turn.sin()], -1) * uniform(g, 16, 26, n, 2, 1, 1)
    path = torch.where((motion == CIRCLING)[:, :, None, None], circle, path)
    grow = torch.linspace(0.62, 1.38, FRAMES)
    scale = torch.ones(n, 2, FRAMES)
    scale = torch.where((motion == GROWING)[:, :, None], grow, scale)
    scale = torch.where((motion == SHRINKING)[:, :, None], grow.flip(0), scale)
    radii = scale * radius[:, :, None]
    reach = 0.8 * radii.amax(2)[:, :, None]
    low, high = reach - path.amin(2), SIZE - reach - path.amax(2)
    center = low + (high - low) * torch.rand(n, 2, 2, generator=g)
    return path + torch.where(low < high, center, torch.tensor(SIZE / 2))[:, :, None], radii


def draw_scenes(g, n, two=0.15, straight=False):
    """n random clips from the CPU generator g; `two`: share with a second shape; `straight`: those motions alone."""
    colors, backdrops = (torch.tensor(list(t.values()), dtype=torch.float32) for t in (COLORS, BACKDROPS))
    backdrop = torch.randint(len(BACKDROPS), (n,), generator=g)
    # no shape in the colour that its backdrop is named after, and no two of one colour
    names = list(BACKDROPS)
    taken = torch.tensor([[name == names[k] for name in COLORS] for k in range(len(names))])[backdrop]
    color = torch.multinomial((~taken).float(), 2, generator=g)
    weights = WEIGHTS[:STRAIGHT] if straight else WEIGHTS
    motion = torch.multinomial(weights.expand(2 * n, -1), 1, generator=g).view(n, 2)
    speed = uniform(g, 3.5, 10, n, 2)
    radius = torch.stack([uniform(g, 22, 36, n), uniform(g, 20, 27, n)], 1)
    radius = torch.where(motion >= GROWING, radius.clamp(max=29), radius)
    path, radii = paths(g, motion, speed, radius)
    second = (torch.rand(n, generator=g) < two).long()
    path[:, 1] += (NOWHERE * (1 - second))[:, None, None]
    return Scenes(
        backdrop=backdrop, surface=torch.randint(len(SURFACES), (n,), generator=g),
        backdrop_rgb=backdrops[backdrop] + uniform(g, -8, 8, n, 3), lean=torch.randint(2, (n,), generator=g) * 2.0 - 1,
        texture=uniform(g, -0.13, 0.13, n, 9, 9), two=second, color=color,
        shape=torch.randint(len(SHAPES), (n, 2), generator=g), motion=motion, speed=speed,
        rgb=colors[color] + uniform(g, -10, 10, n, 2, 3), path=path, radii=radii)


# ---- drawing

def distance(shape, x, y, r):
    """Signed distance (roughly, in pixels) to the outline of SHAPES[shape]; negative inside; y grows downwards."""
    name = SHAPES[shape]
    if name == "circle":
        return torch.hypot(x, y) - r
    if name == "ring":
        return (torch.hypot(x, y) - 0.73 * r).abs() - 0.27 * r
    ax, ay = x.abs(), y.abs()
    if name == "square":
        return torch.maximum(ax, ay) - 0.85 * r
    if name == "triangle":
        y = y - 0.2 * r
        return torch.maximum(0.866 * ax - 0.5 * y, y) - 0.62 * r
    if name == "cross":
        return torch.minimum(torch.maximum(ax - r, ay - 0.36 * r), torch.maximum(ay - r, ax - 0.36 * r))
    # the star: the line from a tip (1.1 r) to the next inner corner (0.5 r), in a sector of a fifth of the circle
    k = math.pi / 5
    angle, rho = ((torch.atan2(x, -y) + k) % (2 * k) - k).abs(), torch.hypot(x, y)
    dx, dy = 0.5 * math.cos(k) - 1.1, 0.5 * math.sin(k)
    return ((rho * angle.cos() - 1.1 * r) * dy - rho * angle.sin() * dx) / (dx * dx + dy * dy) ** 0.5


def distances(scenes, slot, x, y, path, radii):
    """Of the shapes in one slot, each by its own kind; x and y [n, ...] are places, path and radii broadcast to them."""
    out = torch.empty_like(x)
    for kind in range(len(SHAPES)):
        rows = (scenes.shape[:, slot] == kind).nonzero().flatten().to(x.device)
        if len(rows):
            out[rows] = distance(kind, x[rows], y[rows], radii[rows])
    return out


def backdrops(scenes, device):
    """[n, 3, SIZE, SIZE] in 0 .. 255."""
    lean, surface = (v.to(device)[:, None, None] for v in (scenes.lean, scenes.surface))
    slope = torch.linspace(-0.2, 0.2, SIZE, device=device)[:, None] * lean
    texture = F.interpolate(scenes.texture.to(device)[:, None], (SIZE, SIZE), mode="bicubic", align_corners=False)[:, 0]
    light = 1 + torch.where(surface == 1, slope.expand_as(texture), torch.where(surface == 2, texture, 0.0))
    rgb = scenes.backdrop_rgb.to(device)[:, :, None, None]
    return ((rgb + 12) * light[:, None] - 12).clamp(0, 255)


@torch.no_grad()
def render(scenes, device="cpu"):
    """-> uint8 frames [n, FRAMES, 3, SIZE, SIZE]; inverse depth [n, FRAMES, SIZE, SIZE] as a fraction of 40 in 0 .. 255;
    sketch likewise (bright lines); region [n, FRAMES, SIZE, SIZE], 0: backdrop, 1 or 2: which shape is seen."""
    n, at = len(scenes), torch.arange(SIZE, dtype=torch.float32, device=device)
    image = backdrops(scenes, device)[:, None].repeat(1, FRAMES, 1, 1, 1)
    depth = (5 + 6 * at / SIZE)[:, None].expand(n, FRAMES, SIZE, SIZE)
    sketch, region = torch.zeros_like(depth), torch.zeros(n, FRAMES, SIZE, SIZE, dtype=torch.uint8, device=device)
    path, radii, rgb = scenes.path.to(device), scenes.radii.to(device), scenes.rgb.to(device)
    for slot in (0, 1):
        if slot and not scenes.two.any():
            break
        x = at - path[:, slot, :, 0, None, None].expand(-1, -1, SIZE, SIZE)
        y = at[:, None] - path[:, slot, :, 1, None, None].expand(-1, -1, SIZE, SIZE)
        r = radii[:, slot, :, None, None]
        d = distances(scenes, slot, x.contiguous(), y.contiguous(), path, r)
        alpha = (0.5 - d / 1.3).clamp(0, 1)
        shadow = (0.5 - F.pad(d, (3, 0, 4, 0), mode="replicate")[..., :SIZE, :SIZE] / 9).clamp(0, 1)
        shade = (0.92 - 0.16 * (0.5 * x + 0.85 * y) / r) * (1 - 0.28 * (d.clamp(max=0) / 2).exp())
        image = image * (1 - 0.3 * (shadow * shadow * (3 - 2 * shadow)))[:, :, None]
        image = torch.lerp(image, rgb[:, slot, None, :, None, None] * shade[:, :, None], alpha[:, :, None])
        depth = torch.lerp(depth, (14 + 0.5 * r).expand_as(depth), alpha)
        sketch = torch.maximum(sketch * (1 - (0.5 - (d + 2) / 1.3).clamp(0, 1)), (-(d / 1.3) ** 2).exp())
        region[alpha > 0.5] = slot + 1
    return tuple(v.round().to(torch.uint8) for v in (image.clamp(0, 255), depth * (255 / 40), sketch * 255)) + (region,)


# ---- motion

@torch.no_grad()
def motion_blocks(scenes, g=None):
    """float32 [n, FRAMES, 2, 8, 8]: displacement (x, y) since the frame before of each 16 x 16 block that a shape covers,
    0 in others and in frame 0. A generator makes it codec-like: half pixels, more or fewer blocks at the rim."""
    side = SIZE // BLOCK
    at = torch.arange(BLOCK // 2, SIZE, BLOCK, dtype=torch.float32)
    field = torch.zeros(len(scenes), FRAMES, 2, side, side)
    for slot in (0, 1):
        path, r = scenes.path[:, slot], scenes.radii[:, slot, :, None, None]
        x = (at - path[:, :, 0, None, None]).expand(-1, -1, side, side).contiguous()
        y = (at[:, None] - path[:, :, 1, None, None]).expand(-1, -1, side, side).contiguous()
        reach = 3.0 if g is None else uniform(g, -1, 8, len(scenes), 1, 1, 1)
        filled = scenes.take(slice(None))
        filled.shape = torch.where(filled.shape == SHAPES.index("ring"), 0, filled.shape)  # blocks of its hole move too
        inside = distances(filled, slot, x, y, path, r) < reach
        growth = torch.zeros_like(r)
        growth[:, 1:] = 1 - r[:, :-1] / r[:, 1:]
        step = torch.zeros_like(path)
        step[:, 1:] = path.diff(dim=1)
        v = torch.stack([step[..., 0, None, None] + x * growth, step[..., 1, None, None] + y * growth], 2)
        v = v if g is None else (2 * v).round() / 2
        field = torch.where(inside[:, :, None], v, field)
    field[:, 0] = 0
    return field


def motion_field(blocks):
    """[n, FRAMES, 2, 8, 8] -> [n, FRAMES, 2, SIZE, SIZE]: one pixel in the middle of each block, 0 elsewhere."""
    out = blocks.new_zeros(*blocks.shape[:3], SIZE, SIZE)
    out[..., BLOCK // 2::BLOCK, BLOCK // 2::BLOCK] = blocks
    return out


# ---- regions to repaint

def halves(side, device="cpu"):
    """[n] in 0 .. 3 (top, bottom, left, right) -> [n, SIZE, SIZE], 1 in that half."""
    at = (torch.arange(SIZE, device=device) >= SIZE // 2).float()
    upper, left = (1 - at)[:, None].expand(SIZE, SIZE), (1 - at).expand(SIZE, SIZE)
    return torch.stack([upper, 1 - upper, left, 1 - left])[side]


@torch.no_grad()
def masks(n, device="cpu", lines=3, points=4):
    """[n, SIZE, SIZE], 1 = to be painted: thick strokes (40 %), one or two rectangles (25 %), a half (35 %)."""
    def rand(*shape):
        return torch.rand(*shape, device=device)
    at = torch.arange(SIZE, device=device, dtype=torch.float32)
    start = rand(n, lines, 1, 2) * SIZE
    corner = start + torch.cumsum((rand(n, lines, points, 2) - 0.5) * SIZE * 0.9, 2)
    corner = torch.cat([start, corner], 2).clamp(0, SIZE)
    a, b = corner[:, :, :-1].flatten(1, 2), corner[:, :, 1:].flatten(1, 2)       # [n, segments, 2]
    ab = b - a
    px = at[None, None, None, :] - a[:, :, 0, None, None]
    py = at[None, None, :, None] - a[:, :, 1, None, None]
    along = px * ab[:, :, 0, None, None] + py * ab[:, :, 1, None, None]
    along = (along / ab.pow(2).sum(2).clamp(min=1)[..., None, None]).clamp(0, 1)
    gap = torch.hypot(px - along * ab[:, :, 0, None, None], py - along * ab[:, :, 1, None, None])
    thick = (4 + 11 * rand(n, lines, 1)).repeat(1, 1, points).flatten(1)
    on = torch.cat([torch.ones(n, 1, 1, device=device), (rand(n, lines - 1, 1) < 0.6).float()], 1)
    on = on.repeat(1, 1, points).flatten(1)
    strokes = ((gap < thick[..., None, None]) & (on[..., None, None] > 0)).any(1)
    low, size = rand(n, 2, 2) * SIZE * 0.75, (0.2 + 0.4 * rand(n, 2, 2)) * SIZE
    size[:, 1] *= (rand(n, 1) < 0.5).float()
    box = ((at >= low[..., 0, None]) & (at < (low + size)[..., 0, None]))[:, :, None, :] & (
        (at >= low[..., 1, None]) & (at < (low + size)[..., 1, None]))[:, :, :, None]
    half = halves(torch.randint(4, (n,), device=device), device) > 0
    kind = rand(n)[:, None, None]
    return torch.where(kind < 0.4, strokes, torch.where(kind < 0.65, box.any(1), half)).float()
