"""PiDiNet in PyTorch, its pixel differences already folded into plain convolutions: makes sketches for training."""
import torch
import torch.nn.functional as F
from torch import nn

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
BLOCKS = (3, 4, 4, 4)  # of the four stages


class Block(nn.Module):
    def __init__(self, c_in, c_out, kernel, pooled):
        super().__init__()
        self.pooled = pooled
        self.conv1 = nn.Conv2d(c_in, c_in, kernel, padding=kernel // 2, groups=c_in, bias=False)
        self.conv2 = nn.Conv2d(c_in, c_out, 1, bias=False)
        if pooled:
            self.shortcut = nn.Conv2d(c_in, c_out, 1)

    def forward(self, x):
        if self.pooled:
            x = F.max_pool2d(x, 2)
        y = self.conv2(F.relu(self.conv1(x)))
        return (self.shortcut(x) if self.pooled else x) + y


class Dilations(nn.Module):
    def __init__(self, c_in, c):
        super().__init__()
        self.conv1 = nn.Conv2d(c_in, c, 1)
        for k in range(4):
            gap = 5 + 2 * k
            self.add_module(f"conv2_{k + 1}", nn.Conv2d(c, c, 3, padding=gap, dilation=gap, bias=False))

    def forward(self, x):
        x = self.conv1(F.relu(x))
        return sum(getattr(self, f"conv2_{k + 1}")(x) for k in range(4))


class Gate(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(c, 4, 1), nn.Conv2d(4, 1, 3, padding=1, bias=False)

    def forward(self, x):
        return x * torch.sigmoid(self.conv2(self.conv1(F.relu(x))))


class Reduce(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.conv = nn.Conv2d(c, 1, 1)

    def forward(self, x):
        return self.conv(x)


class PiDiNet(nn.Module):
    def __init__(self, planes=20, dil=8):
        super().__init__()
        widths, c, layer = [planes, 2 * planes, 4 * planes, 4 * planes], planes, 0
        self.init_block = nn.Conv2d(3, planes, 3, padding=1, bias=False)
        for stage, width in enumerate(widths):
            for k in range(BLOCKS[stage]):
                layer += 1
                self.add_module(f"block{stage + 1}_{k + 1}",
                                Block(c, width, 5 if layer % 4 == 2 else 3, stage > 0 and k == 0))
                c = width
        self.dilations = nn.ModuleList([Dilations(width, dil) for width in widths])
        self.attentions = nn.ModuleList([Gate(dil) for _ in widths])
        self.conv_reduces = nn.ModuleList([Reduce(dil) for _ in widths])
        self.classifier = nn.Conv2d(4, 1, 1)

    @torch.no_grad()
    def forward(self, frames):
        """uint8 [n, 3, h, w] -> edges [n, h, w] in 0 .. 1."""
        mean, std = (torch.tensor(v, device=frames.device).view(3, 1, 1) for v in (MEAN, STD))
        x, maps = self.init_block((frames.float() / 255 - mean) / std), []
        for stage, count in enumerate(BLOCKS):
            for k in range(count):
                x = getattr(self, f"block{stage + 1}_{k + 1}")(x)
            y = self.conv_reduces[stage](self.attentions[stage](self.dilations[stage](x)))
            maps.append(F.interpolate(y, frames.shape[-2:], mode="bilinear", align_corners=False))
        return torch.sigmoid(self.classifier(torch.cat(maps, 1)))[:, 0]
