"""What the metrics of a run tell of its course: how it fares, since when, on which utterances."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from asrkit.ctc.diagnosis import REMEDIES, Observation, State, describe, diagnose
from asrkit.data.manifest import Utterance
from asrkit.errors import DivergenceError
from asrkit.train.metrics import MetricsLog, read_metrics

_MAX_HARDEST = 5
_MAX_NAMED = 10
_MAX_TEXT = 60


@dataclass(frozen=True)
class Course:
    """A run as its metrics tell it.

    Attributes
    ----------
    state
        At its end, or so far.
    summary
        What that means, in a sentence; empty while it learns.
    remedy
        What to do; empty while it learns.
    hardest
        The utterances with the largest loss in its last epoch, largest first, and their nats a
        label. If it stopped at a loss or gradient that is not finite, those it was seen on, and
        None.
    """

    state: State
    summary: str = ""
    remedy: str = ""
    hardest: Mapping[str, float | None] = field(default_factory=dict)

    def text(self, utterances: Sequence[Utterance]) -> str:
        """Tell all of it, in lines; the utterances are those of the training set."""
        known = {utterance.utt_id: utterance for utterance in utterances}
        named = [
            f"  {describe_utterance(known[utt_id])}{_loss(loss)}"
            for utt_id, loss in self.hardest.items()
            if utt_id in known
        ]
        return "\n".join([self.summary, *named[:_MAX_NAMED], f"  {self.remedy}"])

    def remark(self, utterances: Sequence[Utterance]) -> str:
        """Give what goes behind a line about an epoch: nothing while it learns."""
        if self.state == "plateau":
            return f"; {self.summary}: {self.remedy}"
        return "" if self.state == "learning" else f"; {self.text(utterances)}"


def observations(folder: Path) -> list[Observation]:
    """Read what was measured at the ends of a run's epochs."""
    return [
        Observation(
            item["step"],
            item["dev_loss"],
            item["dev_emission_rate"],
            item.get("dev_top_share", 0.0),  # runs of earlier versions have none
            item["train_loss"],
        )
        for item in read_metrics(folder, "epoch")
    ]


def follow(folder: Path) -> Course:
    """Read the metrics of a run and tell its course."""
    history = observations(folder)
    if stops := read_metrics(folder, "divergence"):
        stop = stops[-1]
        summary = f"{stop['reason']}{_last_figures(folder)}"
        return Course(
            "divergence",
            summary,
            _with_weights("divergence", folder),
            dict.fromkeys(stop["utterances"]),
        )
    state = diagnose(history)
    if state in ("learning", "plateau"):
        return Course(state, describe(history), REMEDIES[state])
    since = history[-2].step if len(history) > 1 else 0
    summary = f"{describe(history)}{_last_figures(folder)}"
    return Course(state, summary, _with_weights(state, folder), _hardest(folder, since))


def explained(
    error: DivergenceError, metrics: MetricsLog, folder: Path, utterances: Sequence[Utterance]
) -> DivergenceError:
    """Note a divergence in the metrics of a run, and add to it what they tell."""
    details = {"reason": str(error), "utterances": error.utt_ids}
    metrics.write("divergence", error.step, details)
    metrics.flush()
    return DivergenceError(follow(folder).text(utterances), error.step, error.utt_ids)


def describe_utterance(utterance: Utterance) -> str:
    """Name an utterance with its length and the beginning of its text."""
    text = utterance.text
    shown = text if len(text) <= _MAX_TEXT else f"{text[:_MAX_TEXT]}..."
    return f"{utterance.utt_id}: {utterance.duration_s:.4g} s, {shown!r}, {utterance.audio_path}"


def _loss(loss: float | None) -> str:
    return "" if loss is None else f", loss {loss:.4g} nats a label"


def _hardest(folder: Path, since: int) -> dict[str, float]:
    """Find the utterances with the largest losses of the steps since, the largest first."""
    losses: dict[str, float] = {}
    for item in read_metrics(folder, "step"):
        utt_id = item.get("hardest", "")
        if utt_id and item["step"] > since:
            losses[utt_id] = max(item["hardest_loss"], losses.get(utt_id, 0.0))
    ranked = sorted(losses.items(), key=lambda pair: -pair[1])
    return dict(ranked[:_MAX_HARDEST])


def _last_figures(folder: Path) -> str:
    steps = read_metrics(folder, "step")
    if not steps:
        return ""
    last = steps[-1]
    return (
        f"; step {last['step']}: loss {last['loss']:.4g}, learning rate "
        f"{last['learning_rate']:.3g}, gradient norm {last['grad_norm']:.4g}"
    )


def _with_weights(state: State, folder: Path) -> str:
    """Add to a remedy the weights of the best epoch, from which a new run can start."""
    epochs = sorted(read_metrics(folder, "epoch"), key=lambda item: item["dev_error"])
    for item in epochs:
        path = folder / "checkpoints" / f"epoch-{item['epoch']:04d}.safetensors"
        if path.exists():
            return (
                f"{REMEDIES[state]}; the best weights so far, dev error "
                f"{100 * item['dev_error']:.2f} %, are {path}: a new run starts from them by "
                "train.initial_weights"
            )
    return REMEDIES[state]
