"""Draws docs/images/bands.svg: which pairs of pixels the exact ConvNet kernel computes.

python docs/figures/bands.py
"""

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import matplotlib.colors
import numpy as np
from matplotlib.figure import Figure

from kernel_distill.kernels import named
from kernel_distill.kernels._levels import Level, make_levels

SIZE = (32, 32)
# legible on white and on black: the site has both, and the picture no background
INK, BLUE = "#7d8590", "#3b8fd4"


def needed(width: int, radius: int) -> np.ndarray:
    """Which pairs of columns matter, [width, width]: those at most `radius` apart."""
    column = np.arange(width)
    return abs(column[:, None] - column) <= radius


def draw(levels: Sequence[Level]) -> Figure:
    """A panel a size of the image, of pairs of columns; rows are the same."""
    widths = [level.size[1] for level in levels]
    figure = Figure(figsize=(10, 3.7))
    panels = figure.subplots(1, len(levels), width_ratios=[width**0.5 for width in widths])
    for panel, level, width in zip(panels, levels, widths, strict=True):
        radius = level.radius[1]
        band = needed(width, radius)
        colour = matplotlib.colors.ListedColormap([(0, 0, 0, 0), BLUE])
        panel.imshow(band, cmap=colour, extent=(0, width, width, 0), interpolation="nearest")
        panel.set_xticks(range(width + 1), [])
        panel.set_yticks(range(width + 1), [])
        panel.tick_params(length=0)
        panel.grid(color=INK, linewidth=0.15)
        offsets, pairs, of = (2 * radius + 1) ** 2, int(band.sum()) ** 2, width**4
        panel.set_title(f"{width}x{width}:  |d| ≤ {radius}", color=INK, fontsize=10)
        panel.set_xlabel(
            f"{offsets} offset{'s' * (offsets > 1)}\n{pairs:,} of {of:,}\npairs of pixels",
            color=INK,
            fontsize=8.5,
        )
        for spine in panel.spines.values():
            spine.set_color(INK)
    panels[0].set_ylabel("column of the first pixel", color=INK, fontsize=8.5)
    figure.tight_layout(w_pad=1.5)
    return figure


def main() -> None:
    levels = make_levels(named("convnet").layers, SIZE)
    # what the readout flattens: offset 0 of what the last pooling gives
    readout = Level(levels[-1].pooled_size, 0, 1, radius=levels[-1].pooled_radius)
    matplotlib.rcParams |= {"svg.hashsalt": "bands", "svg.fonttype": "path"}
    path = Path(__file__).parents[1] / "images" / "bands.svg"
    draw([*levels, readout]).savefig(path, transparent=True, metadata={"Date": None})


if __name__ == "__main__":
    main()
