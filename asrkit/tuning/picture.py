"""Pictures of a tuning: the surface of errors over both weights, and reliability."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from asrkit.decode.confidence import reliability_bins
from asrkit.tuning.tune import Calibration
from asrkit.tuning.weights import Weights


def draw_surface(path: Path, rates: Mapping[Weights, float], best: Weights, measure: str) -> None:
    """Draw the error rate of every point that was tried, in per cent, and ring the best."""
    with mpl.rc_context({"font.size": 9}):
        figure = Figure(figsize=(7, 4.5), layout="constrained")
        axes = figure.subplots()
        x, y = zip(*rates, strict=True)
        values = [100 * rate for rate in rates.values()]
        if len(set(x)) > 2 and len(set(y)) > 2 and len(set(values)) > 1:  # an area, not flat
            axes.tricontourf(x, y, values, levels=12, cmap="viridis_r", alpha=0.6)
        points = axes.scatter(
            x, y, c=values, cmap="viridis_r", s=18, edgecolors="black", lw=0.3, clip_on=False
        )
        axes.plot(*best, "o", markersize=11, markerfacecolor="none", color="C3", label="best")
        axes.set(
            xlabel="lm_weight",
            ylabel="word_bonus (nats)",
            title=f"best {100 * rates[best]:.2f} % at {best.lm_weight:g}, {best.word_bonus:g}",
        )
        axes.legend(loc="upper right")
        figure.colorbar(points, label=f"{measure} (%)")
        figure.savefig(path, dpi=120)


def draw_reliability(path: Path, calibration: Calibration) -> None:
    """Draw how many words are right over how sure they are, before and after calibration."""
    with mpl.rc_context({"font.size": 9}):
        figure = Figure(figsize=(7, 3.6), layout="constrained")
        panels = figure.subplots(1, 2, sharey=True)
        figures = {
            f"as the model gives it: ECE {100 * calibration.ece_before:.1f} %": (
                calibration.probabilities
            ),
            f"calibrated: ECE {100 * calibration.ece_after:.1f} %": (calibration.calibrated),
        }
        for axes, (title, probabilities) in zip(panels, figures.items(), strict=True):
            bins = [b for b in reliability_bins(probabilities, calibration.correct) if b.count]
            most = max(b.count for b in bins)
            axes.bar(
                [b.lower for b in bins],
                [b.accuracy for b in bins],
                width=[b.upper - b.lower for b in bins],
                align="edge",
                color=[(0.12, 0.47, 0.71, 0.25 + 0.75 * b.count / most) for b in bins],
                edgecolor="white",
            )
            axes.plot([0, 1], [0, 1], "--", color="black", lw=0.8)
            axes.set(title=title, xlabel="probability of a word", xlim=(0, 1), ylim=(0, 1))
        panels[0].set_ylabel("share that is right")
        figure.savefig(path, dpi=120)
