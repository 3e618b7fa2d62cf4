"""Settings with which a CTC model is known to stay silent, or to diverge."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from asrkit.data.batching import batches_of_epoch
from asrkit.data.manifest import Utterance
from asrkit.doctor.finding import Finding
from asrkit.settings import Settings

USUAL_RATES = {"adamw": (1e-5, 1e-2), "sgd": (1e-6, 1e-1)}
"""Learning rates with which networks of this kind have been trained; for nats an utterance."""
FEW_STEPS = 500
"""In so many steps a CTC model may hardly get beyond emitting only blanks."""


def examine_learning(settings: Settings, utterances: Sequence[Utterance]) -> Iterator[Finding]:
    """Judge the settings of `[train]` for a training set."""
    train = settings.train
    low, high = USUAL_RATES[train.optimizer]
    if not low <= train.learning_rate <= high:
        is_high = train.learning_rate > high
        yield Finding(
            "warning",
            "learning-rate",
            f"train.learning_rate = {train.learning_rate:g} is far "
            f"{'above' if is_high else 'below'} what {train.optimizer} is used with: "
            + (
                "the loss will diverge, or the model collapse to blanks"
                if is_high
                else "the model will emit only blanks for very long"
            ),
            f"{low:g} to {high:g}",
            f"begin with {1e-3 if train.optimizer == 'adamw' else 1e-4:g}",
        )
    batches = batches_of_epoch(utterances, settings, epoch=0)
    num_steps = -(-len(batches) // train.accumulate_batches) * train.max_epochs
    if train.warmup_steps >= num_steps:
        yield Finding(
            "warning",
            "warm-up",
            f"train.warmup_steps = {train.warmup_steps} is not over when training is, after "
            f"{num_steps} steps: the learning rate never gets to its value",
            "a tenth of all steps at most",
            f"lower train.warmup_steps to {num_steps // 10}",
        )
    if num_steps < FEW_STEPS and not train.initial_weights:
        yield Finding(
            "warning",
            "few-steps",
            f"{train.max_epochs} epochs are {num_steps} steps: a CTC model emits only blanks for "
            "the first few hundred",
            f"{FEW_STEPS} steps at least, thousands for most corpora",
            "raise train.max_epochs, lower data.max_batch_s, or start from train.initial_weights",
        )
    if not train.clip_norm and not train.clip_value:
        yield Finding(
            "note",
            "no-clipping",
            "neither train.clip_norm nor train.clip_value is set: one batch with a large gradient "
            "can undo the training of a recurrent network",
            "gradients that are clipped",
            "set train.clip_norm = 5.0",
        )
