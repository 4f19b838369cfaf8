"""What a clip of the world of shapes shows, found without any network: colours, backdrop, kind of shape, place, motion.

A shape is what differs in colour from the backdrop that the picture's border shows; of several pieces the largest.
"""
import torch
import torch.nn.functional as F

import world

LEAST_PIECE = 60  # pixels


def labelled(mask):
    """bool [n, h, w] -> the largest connected piece (8 neighbours) of each, none where that is small."""
    n, h, w = mask.shape
    label = (torch.arange(1, h * w + 1, dtype=torch.float32).view(1, h, w) * mask)[:, None]
    while True:
        wider = F.max_pool2d(label, 3, 1, 1) * mask[:, None]
        if torch.equal(wider, label):
            break
        label = wider
    out = torch.zeros_like(mask)
    for k in range(n):
        names, counts = label[k, 0][mask[k]].unique(return_counts=True)
        if len(names) and counts.max() > LEAST_PIECE:
            out[k] = label[k, 0] == names[counts.argmax()]
    return out


def look(clip):
    """float [f, 3, h, w] in 0 .. 255 -> the backdrop's colour [3], masks [f, h, w] of the shape."""
    rim = torch.cat([clip[..., :6, :].flatten(2), clip[..., -6:, :].flatten(2), clip[..., :6].flatten(2),
                     clip[..., -6:].flatten(2)], 2)
    back = rim.transpose(0, 1).flatten(1).median(1).values
    sides = torch.cat([clip[..., :4], clip[..., -4:]], 3)               # follows a gradient from top to bottom
    rows = sides.permute(1, 2, 0, 3).flatten(2).median(2).values
    rows = torch.where(((rows - back[:, None]).abs().amax(0) < 60), rows, back[:, None])
    d = clip - rows[None, :, :, None]
    mean = d.mean(1, keepdim=True)
    differs = ((d - mean).pow(2).sum(1) + 0.25 * mean[:, 0] ** 2).sqrt() > 38
    worn = 1 - F.max_pool2d(1 - differs.float()[:, None], 3, 1, 1)      # opened: specks go
    return back, labelled(F.max_pool2d(worn, 3, 1, 1)[:, 0] > 0)


def nearest(rgb, table):
    """Index of the colour of the table (a dictionary of names) that is nearest."""
    return int((torch.tensor(list(table.values()), dtype=torch.float32) - rgb).pow(2).sum(1).argmin())


def silhouettes():
    """Of each shape of radius 1: the middle and the half sides (mean) of its box."""
    at, boxes = torch.linspace(-1.5, 1.5, 601), []
    for kind in range(len(world.SHAPES)):
        inside = world.distance(kind, at.expand(601, 601).contiguous(), at[:, None].expand(601, 601).contiguous(),
                                torch.tensor(1.0)) < 0
        xs, ys = at[inside.any(0)], at[inside.any(1)]
        boxes.append(((xs[0] + xs[-1]) / 2, (ys[0] + ys[-1]) / 2, (xs[-1] - xs[0] + ys[-1] - ys[0]) / 4))
    return boxes


BOXES = silhouettes()


def name_shape(mask):
    """Index of the shape whose silhouette of the same box overlaps best; None where there is nothing."""
    if mask.sum() <= LEAST_PIECE:
        return None
    rows, columns = mask.any(1).nonzero().flatten(), mask.any(0).nonzero().flatten()
    middle = (columns[0] + columns[-1]) / 2, (rows[0] + rows[-1]) / 2
    half = (columns[-1] - columns[0] + rows[-1] - rows[0]) / 4
    at, best = torch.arange(world.SIZE, dtype=torch.float32), (-1.0, None)
    for kind, (x, y, side) in enumerate(BOXES):
        for scale in (0.92, 1.0, 1.08):
            r = half / side * scale
            inside = world.distance(kind, (at - (middle[0] - x * r)).expand(world.SIZE, -1).contiguous(),
                                    (at - (middle[1] - y * r))[:, None].expand(-1, world.SIZE).contiguous(), r) < 0
            best = max(best, (overlap(inside, mask), kind), key=lambda entry: entry[0])
    return best[1]


def overlap(a, b):
    return float((a & b).sum() / (a | b).sum().clamp(min=1))


def centers(masks):
    """[f, 2] (x, y), NaN where nothing was found."""
    at, n = torch.arange(world.SIZE, dtype=torch.float32), masks.flatten(1).sum(1).float()
    n = torch.where(n > 0, n, torch.nan)
    return torch.stack([(masks.sum(1) * at).sum(1) / n, (masks.sum(2) * at).sum(1) / n], 1)


def psnr(a, b):
    return float(10 * torch.log10(255 ** 2 / (a - b).pow(2).mean().clamp(min=1e-9)))


def describe(clip, scenes, i, region, first=False):
    """Agreement of a clip with scene i: shares of 1, and the displacements; region: the exact one [f, h, w] (bool);
    first: the region is compared in frame 0 alone."""
    back, masks = look(clip)
    shown = masks.flatten(1).any(1)
    color = nearest(clip.transpose(0, 1)[:, masks].median(1).values, world.COLORS) if shown.any() else None
    frames = slice(0, 1) if first else slice(None)
    return {"found": shown.float().mean().item(), "color": float(color == scenes.color[i, 0]),
            "backdrop": float(nearest(back, world.BACKDROPS) == scenes.backdrop[i]),
            "shape": sum(name_shape(masks[f]) == scenes.shape[i, 0] for f in (1, 4, 6)) / 3,
            "iou": sum(overlap(a, b) for a, b in zip(masks[frames], region[frames])) / len(masks[frames]),
            "moved": centers(masks).diff(dim=0)}


def motion(found, scenes):
    """Of all clips: commanded against realised displacement a frame (correlation, mean error, that of standing still),
    and the share of clips whose whole displacement is within 45 degrees of the commanded one."""
    want, got = scenes.path[:, 0].diff(dim=1), torch.stack([f["moved"] for f in found])
    known = got.isfinite().all(2)
    a, b = want[known], got[known]
    correlation = torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1] if len(a) > 2 else torch.tensor(0.0)
    whole_want, whole_got = want.sum(1), got.nan_to_num(0).sum(1)
    far = whole_want.norm(dim=1) > 12
    along = F.cosine_similarity(whole_want, whole_got, dim=1) > 0.707
    return {"correlation": float(correlation), "error": float((a - b).norm(dim=1).mean()),
            "still_error": float(a.norm(dim=1).mean()), "direction": float(along[far].float().mean())}
