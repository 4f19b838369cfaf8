"""The networks of the sketch condition in PyTorch 2.x: PiDiNet, which finds edges, and the network that cleans lines."""
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from torch_layers import Options

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
BLOCKS = (3, 4, 4, 4)  # of PiDiNet's four stages


@dataclass(frozen=True)
class PiDiNetConfig:
    """The defaults are the released ones. Pixel differences are folded into plain convolutions already."""
    planes: int = 60
    dil: int = 24


@dataclass(frozen=True)
class SimplificationConfig:
    """The defaults are the released ones; all widths are divided by `divide`."""
    divide: int = 1
    mean: float = 0.9664114577640158
    std: float = 0.0858381272736797


def format_of(options):
    return torch.channels_last if options.channels_last else torch.contiguous_format


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
        y = self.conv2(F.relu(self.conv1(x), inplace=True))
        y += self.shortcut(x) if self.pooled else x
        return y


class Dilations(nn.Module):
    def __init__(self, c_in, c):
        super().__init__()
        self.conv1 = nn.Conv2d(c_in, c, 1)
        for k in range(4):
            gap = 5 + 2 * k
            self.add_module(f"conv2_{k + 1}", nn.Conv2d(c, c, 3, padding=gap, dilation=gap, bias=False))

    def forward(self, x):
        x = self.conv1(F.relu(x))
        y = self.conv2_1(x)
        for conv in (self.conv2_2, self.conv2_3, self.conv2_4):
            y += conv(x)
        return y


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
    def __init__(self, cfg=PiDiNetConfig(), options=Options()):
        super().__init__()
        self.options = options
        widths, c, layer = [cfg.planes * m for m in (1, 2, 4, 4)], cfg.planes, 0
        self.init_block = nn.Conv2d(3, c, 3, padding=1, bias=False)
        for stage, width in enumerate(widths):
            for k in range(BLOCKS[stage]):
                layer += 1
                self.add_module(f"block{stage + 1}_{k + 1}",
                                Block(c, width, 5 if layer % 4 == 2 else 3, stage > 0 and k == 0))
                c = width
        self.dilations = nn.ModuleList([Dilations(width, cfg.dil) for width in widths])
        self.attentions = nn.ModuleList([Gate(cfg.dil) for _ in widths])
        self.conv_reduces = nn.ModuleList([Reduce(cfg.dil) for _ in widths])
        self.classifier = nn.Conv2d(4, 1, 1)

    def forward(self, x):
        """[n, 3, h, w], normalised -> how likely each pixel is an edge, [n, 1, h, w]."""
        size, maps = x.shape[-2:], []
        x = self.init_block(x.contiguous(memory_format=format_of(self.options)))
        for stage, count in enumerate(BLOCKS):
            for k in range(count):
                x = getattr(self, f"block{stage + 1}_{k + 1}")(x)
            y = self.conv_reduces[stage](self.attentions[stage](self.dilations[stage](x)))
            maps.append(F.interpolate(y, size, mode="bilinear", align_corners=False))
        return torch.sigmoid(self.classifier(torch.cat(maps, 1)))

    @torch.no_grad()
    def edges(self, frames):
        """uint8 [n, 3, h, w] -> [n, h, w] in 0 .. 1."""
        mean, std = (torch.tensor(v, device=frames.device).view(3, 1, 1) for v in (MEAN, STD))
        return self((frames.float() / 255 - mean) / std)[:, 0]


# channels that come out, size of the kernel, stride; of the kernels of 4 the convolution is transposed
LAYERS = ((48, 5, 2), (128, 3, 1), (128, 3, 1), (128, 3, 2), (256, 3, 1), (256, 3, 1), (256, 3, 2), (512, 3, 1),
          (1024, 3, 1), (1024, 3, 1), (1024, 3, 1), (1024, 3, 1), (512, 3, 1), (256, 3, 1), (256, 4, 2), (256, 3, 1),
          (128, 3, 1), (128, 4, 2), (128, 3, 1), (48, 3, 1), (48, 4, 2), (24, 3, 1), (1, 3, 1))


class Simplification(nn.Module):
    """Sketch simplification (Simo-Serra et al.), the GAN variant."""

    def __init__(self, cfg=SimplificationConfig(), options=Options()):
        super().__init__()
        self.options, layers, c = options, [], 1
        for i, (wide, kernel, stride) in enumerate(LAYERS):
            width = 1 if wide == 1 else max(wide // cfg.divide, 1)
            kind = nn.ConvTranspose2d if kernel == 4 else nn.Conv2d
            last = nn.Sigmoid() if i == len(LAYERS) - 1 else nn.ReLU(inplace=True)
            layers += [kind(c, width, kernel, stride, padding=(kernel - 1) // 2), last]
            c = width
        self.layers = nn.Sequential(*layers)

    def forward(self, x):
        """[n, 1, h, w], dark lines on white, normalised with mean and std; sides of multiples of 8 -> clean in 0 .. 1."""
        return self.layers(x.contiguous(memory_format=format_of(self.options)))
