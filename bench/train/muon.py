"""The Muon optimizer for weight matrices: momentum, made orthogonal (Jordan et al., 2024, kellerjordan.github.io/posts/muon).

Updates are scaled to AdamW's usual size (Liu et al., arXiv 2502.16982), so that both can share a learning rate.
"""
import torch

QUINTIC = (3.4445, -4.7750, 2.0315)  # of Jordan's Newton-Schulz iteration


def orthogonal(g, iterations=5):
    """[k, m, n] with m <= n -> about U V^T of each matrix's U S V^T, in bfloat16."""
    a, b, c = QUINTIC
    x = (g / (g.norm(dim=(1, 2), keepdim=True) + 1e-7)).bfloat16()
    for _ in range(iterations):
        s = x @ x.mT
        x = a * x + (b * s + c * (s @ s)) @ x
    return x


class Muon(torch.optim.Optimizer):
    """For parameters of two and more dimensions; the first is the matrix's rows, the others together its columns."""

    def __init__(self, parameters, lr, momentum=0.95, weight_decay=0.0):
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            parameters = [p for p in group["params"] if p.grad is not None]
            gradients = [p.grad for p in parameters]
            for p in parameters:
                if "momentum" not in self.state[p]:
                    self.state[p]["momentum"] = torch.zeros_like(p)
            momenta = [self.state[p]["momentum"] for p in parameters]
            torch._foreach_lerp_(momenta, gradients, 1 - group["momentum"])
            looking_ahead = torch._foreach_lerp(gradients, momenta, group["momentum"])
            torch._foreach_mul_(parameters, 1 - group["lr"] * group["weight_decay"])
            self.move(parameters, looking_ahead, group["lr"])

    @staticmethod
    def move(parameters, updates, rate):
        """Matrices of the same shape go through the iteration together."""
        alike = {}
        for p, update in zip(parameters, updates):
            matrix = update.flatten(1)
            tall = matrix.shape[0] > matrix.shape[1]
            matrix = matrix.T if tall else matrix
            alike.setdefault(matrix.shape, []).append((p, matrix, tall))
        for shape, entries in alike.items():
            found = orthogonal(torch.stack([matrix for _, matrix, _ in entries])).float()
            for (p, _, tall), matrix in zip(entries, found):
                p.sub_((matrix.T if tall else matrix).reshape(p.shape), alpha=0.2 * max(shape) ** 0.5 * rate)
