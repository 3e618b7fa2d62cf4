"""A picture of a run: loss and dev error over the epochs."""

from __future__ import annotations

import io
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from asrkit.files import write_atomically
from asrkit.train.metrics import read_metrics


def draw_curves(folder: Path) -> Path | None:
    """Draw `curves.png` from the run's metrics; None while no epoch is finished."""
    epochs = read_metrics(folder, "epoch")
    if not epochs:
        return None
    steps = read_metrics(folder, "step")
    with mpl.rc_context({"font.size": 9}):
        figure = Figure(figsize=(9, 3.4), layout="constrained")
        loss_axes, error_axes = figure.subplots(1, 2)
        loss_axes.plot(
            [item["step"] for item in steps],
            [item["loss"] for item in steps],
            color="0.8", linewidth=0.7, label="train, each step",
        )  # fmt: skip
        at = [item["step"] for item in epochs]
        loss_axes.plot(at, [item["train_loss"] for item in epochs], label="train, epoch mean")
        loss_axes.plot(at, [item["dev_loss"] for item in epochs], label="dev")
        loss_axes.set(xlabel="step", ylabel="loss (nats an utterance)", yscale="log")
        loss_axes.legend()
        numbers = [item["epoch"] for item in epochs]
        errors = [100 * item["dev_error"] for item in epochs]
        best = min(range(len(errors)), key=errors.__getitem__)
        error_axes.plot(numbers, errors, marker=".")
        error_axes.plot(numbers[best], errors[best], "o", color="C3")
        error_axes.annotate(
            f"{errors[best]:.2f} %", (numbers[best], errors[best]),
            textcoords="offset points", xytext=(0, 8), ha="center", color="C3",
        )  # fmt: skip
        error_axes.set(xlabel="epoch", ylabel="dev error (%)")
        error_axes.set_ylim(bottom=0)
        for axes in (loss_axes, error_axes):
            axes.grid(alpha=0.3)
        picture = io.BytesIO()
        figure.savefig(picture, dpi=120, format="png")
    path = folder / "curves.png"
    write_atomically(path, picture.getvalue())
    return path
