"""The chart: cost against the number of accounts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib as mpl
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from pathlib import Path

    from comparison.fanout import Cost

mpl.rcParams["svg.fonttype"] = "none"  # text as text: a tenth of the size
mpl.rcParams["svg.hashsalt"] = "transfer-gateway"  # the same figures, the same file


def plot(growth: dict[str, list[Cost]], path: Path) -> None:
    """Memory and CPU time, one line per program, both axes logarithmic."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    panels = figure.subplots(1, 2)
    for axes, name, unit in zip(
        panels,
        ("memory_mb", "cold_cpu_s"),
        ("memory beyond idle, MB", "CPU of the first look, s"),
        strict=True,
    ):
        for side, costs in growth.items():
            axes.plot(
                [cost.accounts for cost in costs], [getattr(cost, name) for cost in costs], "o-", label=side
            )
        axes.set(xscale="log", yscale="log", xlabel="accounts", title=unit)
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].legend(frameon=False)
    figure.savefig(path, metadata={"Date": None})
