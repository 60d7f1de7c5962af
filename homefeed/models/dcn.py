"""DCN v2 (Wang et al., WWW'21): full-rank cross layers, then an MLP.

Shapes: N rows, F features.
"""

from collections.abc import Sequence

from torch import Tensor, nn


class CrossLayer(nn.Module):
    """One explicit feature crossing: x0 ⊙ (W x + b) + x, with W of full rank (Eq. 1)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, width)

    def forward(self, x0_NF: Tensor, x_NF: Tensor) -> Tensor:
        """x0_NF the network's input, x_NF the previous layer's output, both [N, F] → [N, F]."""
        return x0_NF * self.linear(x_NF) + x_NF


class DeepCross(nn.Module):
    """Cross layers stacked under an MLP with ReLU: [N, width] → [N, outputs].

    ``outputs`` is the last hidden width, or ``width`` where there is no hidden layer.
    """

    def __init__(
        self, width: int, cross_layers: int, hidden: Sequence[int], dropout: float
    ) -> None:
        super().__init__()
        self.cross = nn.ModuleList(CrossLayer(width) for _ in range(cross_layers))
        steps: list[nn.Module] = []
        inputs = width
        for size in hidden:
            steps += [nn.Linear(inputs, size), nn.ReLU(), nn.Dropout(dropout)]
            inputs = size
        self.mlp = nn.Sequential(*steps)
        self.outputs = inputs

    def forward(self, x_NF: Tensor) -> Tensor:
        """x_NF float [N, width] → [N, outputs]."""
        x0_NF = x_NF
        for layer in self.cross:
            x_NF = layer(x0_NF, x_NF)
        return self.mlp(x_NF)
