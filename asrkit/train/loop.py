"""The one training loop: every recipe, on one process or many, from the start or after a kill."""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Sequence
from dataclasses import astuple, replace
from pathlib import Path
from typing import TextIO, get_args

import torch
from torch import Tensor
from torch.amp.grad_scaler import GradScaler

from asrkit.ctc.diagnosis import State
from asrkit.data.audio_cache import AudioCache
from asrkit.data.batching import batches_of_epoch
from asrkit.data.dataset import Batch, load_batches
from asrkit.data.manifest import Utterance
from asrkit.data.pronunciation import Pronunciations
from asrkit.data.tokens import TokenTable
from asrkit.errors import DataError, DivergenceError, LostProcessError
from asrkit.nn.cells.cell import truncate_backpropagation
from asrkit.nn.denormals import flushed_denormals
from asrkit.nn.model import AcousticModel
from asrkit.nn.precision import autocast
from asrkit.settings import Settings
from asrkit.train.augment import training_features
from asrkit.train.best_weights import BestWeights
from asrkit.train.checkpoint import load_weights_into, save_weights
from asrkit.train.course import Course, explained, follow
from asrkit.train.curves import draw_curves
from asrkit.train.dev_result import DevResult, Evaluate
from asrkit.train.distributed import World
from asrkit.train.initial_weights import start_from
from asrkit.train.interruption import Interruption
from asrkit.train.last_checkpoints import LastCheckpoints
from asrkit.train.metrics import MetricsLog
from asrkit.train.objective import Measured, check_finite, hardest_of, make_training_objective
from asrkit.train.optimizer import make_optimizer
from asrkit.train.preflight import check_utterances
from asrkit.train.progress import TrainingProgress
from asrkit.train.schedule import learning_rate
from asrkit.train.seeding import seed_everything
from asrkit.train.spelling import turn_to_text
from asrkit.train.spoken_text import SpokenText
from asrkit.train.weight_noise import weight_noise

FINAL_WEIGHTS = "final.safetensors"


class Trainer:
    """Trains a model; leaves `checkpoints/final.safetensors`, `metrics.jsonl` and `curves.png`.

    Parameters
    ----------
    model
        With its normalisation statistics set. Moved to the world's device.
    utterances
        Of the training set.
    tokens
        The token table.
    evaluate
        Measures a model on the dev set; called in the main process after each epoch.
    settings
        Of the recipe; `recipe.seed`, `data`, `augment` and `train` are used.
    folder
        Of the run.
    world
        The processes that share the work.
    mirror
        A stream for a copy of the metrics, or None.
    pronunciations
        Of the words of the training set, for a network with phones.
    text
        What spells is trained on it, and nothing else.
    """

    def __init__(
        self,
        model: AcousticModel,
        utterances: Sequence[Utterance],
        tokens: TokenTable,
        evaluate: Evaluate,
        settings: Settings,
        folder: Path,
        world: World,
        mirror: TextIO | None = None,
        pronunciations: Pronunciations | None = None,
        text: SpokenText | None = None,
    ) -> None:
        if not utterances:
            raise DataError(f"{folder}: the training set is empty; there is nothing to learn from")
        check_utterances(model, utterances, tokens, settings.augment.speed_factors)
        self.model = model.to(world.device)
        self.utterances = utterances
        self.tokens = tokens
        self.pronunciations = pronunciations
        self.audio = AudioCache(model.sample_rate_hz)
        self.evaluate = evaluate
        self.settings = settings
        self.folder = folder
        self.world = world
        self.mirror = mirror
        self.text = text
        self.objective = make_training_objective(model, settings.train, utterances, pronunciations)
        on_gpu = world.device.type == "cuda"
        precision = settings.train.precision
        self.autocast = autocast(world.device.type, precision)
        self.scaler = GradScaler("cuda", enabled=on_gpu and precision == "float16")
        self.optimizer = make_optimizer(model, settings.train)
        truncate_backpropagation(model, settings.train.truncate_frames)
        self.checkpoints = folder / "checkpoints"
        self.checkpoints.mkdir(parents=True, exist_ok=True)
        self.last = LastCheckpoints(self.checkpoints)
        self.position = self.last.load(self.model, self.optimizer)
        world.wait()  # the main process writes the next one only when all have read this one
        if self.position.loss_scale:  # empty if the checkpoint was written on a CPU
            self.scaler.load_state_dict(self.position.loss_scale)
        self.best_weights = BestWeights(
            self.checkpoints, settings.train.average_checkpoints, self.position.dev_errors
        )

    def run(self) -> None:
        """Train from the last checkpoint, or from the start where there is none.

        Raises
        ------
        TrainingError
            Where a loss or gradient is not finite.
        LostProcessError
            If another process ended, after a checkpoint was written.
        KeyboardInterrupt
            On SIGINT or SIGTERM, after a checkpoint was written.
        """
        position, train = self.position, self.settings.train
        epoch_audio_s = sum(utterance.duration_s for utterance in self.utterances)
        self.progress = TrainingProgress(
            total_audio_s=epoch_audio_s * train.max_epochs,
            done_audio_s=epoch_audio_s * position.epoch,
            visible=self.world.is_main,
        )
        self.metrics = MetricsLog(
            self.folder,
            position.metrics_bytes,
            first_step=position.step + 1,
            enabled=self.world.is_main,
            mirror=self.mirror,
        )
        self.interruption = Interruption()
        with self.metrics, self.progress, self.interruption.watch(), flushed_denormals():
            for remark in self.last.remarks:
                self.progress.say(remark)
            if position.step == 0:
                sources, writes = train.initial_weights, self.world.is_main
                for remark in start_from(self.model, sources, self.checkpoints, writes):
                    self.progress.say(remark)
            if self.text and self.pronunciations:
                self.objective, remark = turn_to_text(
                    self.model, self.utterances, self.pronunciations, self.settings
                )
                self.progress.say(f"{len(self.text)} sentences, {remark}")
            while position.epoch < train.max_epochs and not self._stops_early():
                self._run_epoch()
            self._finish()

    def _stops_early(self) -> bool:
        patience = self.settings.train.early_stopping_epochs
        return patience > 0 and self.position.epoch - self.position.best_epoch >= patience

    def _run_epoch(self) -> None:
        position, settings = self.position, self.settings
        if self.text:
            self.utterances = self.text.of_epoch(position.epoch)
        batches = batches_of_epoch(self.utterances, settings, position.epoch)
        group_size = settings.train.accumulate_batches * self.world.size
        ahead = batches[position.batch :]
        groups = [ahead[i : i + group_size] for i in range(0, len(ahead), group_size)]
        mine = [batch for group in groups for batch in group[self.world.rank :: self.world.size]]
        loaded = self.load(mine)
        started_s, audio_s = time.perf_counter(), 0.0
        self.model.train()
        try:
            for group in groups:
                share = (position.epoch + position.batch / len(batches)) / settings.train.max_epochs
                loss = self.step(group, loaded, share)
                group_audio_s = sum(self.utterances[i].duration_s for batch in group for i in batch)
                audio_s += group_audio_s
                self.progress.step(position.epoch + 1, loss, group_audio_s)
                self._save_if_due()
            speed = audio_s / (time.perf_counter() - started_s)
            dev = self._evaluate()
        except DivergenceError as error:
            raise explained(error, self.metrics, self.folder, self.utterances) from error
        except LostProcessError:
            self._save()  # nothing was changed by the step in which the others were missed
            self.progress.say(f"a process was lost; there is a checkpoint of step {position.step}")
            raise
        finally:
            loaded.close()
        self._end_epoch(dev, speed)

    def load(self, batches: Sequence[Sequence[int]]) -> Generator[Batch]:
        """Read batches of the training set, for `step`."""
        return load_batches(
            self.utterances,
            batches,
            self.tokens,
            None if self.text else self.audio,
            pronunciations=self.pronunciations,
        )

    def step(self, group: Sequence[Sequence[int]], loaded: Generator[Batch], share: float) -> float:
        """Take one optimiser step on a group of batches; return its nats an utterance."""
        position, settings = self.position, self.settings
        num_utterances = sum(len(batch) for batch in group)
        rate = learning_rate(settings.train, position.step, share, position.num_reductions)
        for parameters in self.optimizer.param_groups:
            parameters["lr"] = rate
        self.optimizer.zero_grad(set_to_none=True)

        nll_sum = torch.zeros(1, dtype=torch.float64, device=self.world.device)
        statistics: dict[str, float] = {}
        utt_ids: list[str] = []
        hardest = (0.0, "")
        self.scaler.scale(nll_sum)  # a process without a batch in this group needs the scale too
        for number in range(self.world.rank, len(group), self.world.size):
            batch = next(loaded).to(self.world.device)
            generator = seed_everything(settings.recipe.seed, position.step, number)
            with weight_noise(self.model.network, settings.train.weight_noise_std, generator):
                measured, statistics = self._measure(batch, generator)
                loss = measured.loss.sum() / num_utterances
                self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
            nll_sum += measured.nll.detach().double().sum()
            utt_ids.extend(batch.utt_ids)
            hardest = max(hardest, hardest_of(measured.nll, batch))
        nll = float(self.world.sum(nll_sum).item()) / num_utterances
        grad_norm = self._update(utt_ids)

        position.step += 1
        position.batch += len(group)
        position.epoch_loss += nll * num_utterances
        self.metrics.write(
            "step",
            position.step,
            {
                "epoch": position.epoch + 1,
                "loss": nll,
                "learning_rate": rate,
                "grad_norm": grad_norm,
                **statistics,
                "hardest": hardest[1],
                "hardest_loss": hardest[0],
            },
        )
        return nll

    def _measure(
        self, batch: Batch, generator: torch.Generator
    ) -> tuple[Measured, dict[str, float]]:
        """Run the network on a training batch; give its losses, and figures for the metrics."""

        def features() -> tuple[Tensor, Tensor]:
            with torch.autocast(self.world.device.type, enabled=False):
                return training_features(self.model, batch, self.settings.augment, generator)

        with self.autocast:
            measured = self.objective.measure(batch, features)
        check_finite(measured.loss, batch.utt_ids, self.position.step + 1)
        return measured, self.objective.statistics(measured, batch)

    def _update(self, utt_ids: Sequence[str]) -> float:
        """Sum, clip and apply the gradients; return their norm, before that is clipped."""
        self.world.sum_gradients(self.model)
        self.scaler.unscale_(self.optimizer)  # after the sum: an overflow anywhere is seen by all
        if self.settings.train.clip_value:
            torch.nn.utils.clip_grad_value_(self.model.parameters(), self.settings.train.clip_value)
        grad_norm = float(
            torch.nn.utils.clip_grad_norm_(
                self.model.parameters(), self.settings.train.clip_norm or float("inf")
            )
        )
        if not self.scaler.is_enabled() and not math.isfinite(grad_norm):
            raise DivergenceError(
                f"step {self.position.step + 1}: the gradient is not finite (norm {grad_norm}) on "
                f"utterances {', '.join(utt_ids)}; lower train.learning_rate or set "
                "train.clip_norm",
                self.position.step + 1,
                utt_ids,
            )
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return grad_norm

    def _end_epoch(self, dev: DevResult, speed: float) -> None:
        position, train = self.position, self.settings.train
        train_loss = position.epoch_loss / len(self.utterances)
        position.epoch += 1
        position.batch, position.epoch_loss = 0, 0.0
        self.metrics.write(
            "epoch",
            position.step,
            {
                "epoch": position.epoch,
                "train_loss": train_loss,
                "dev_loss": dev.loss,
                "dev_error": dev.error,
                "dev_emission_rate": dev.emission_rate,
                "dev_top_share": dev.top_share,
            },
        )
        course = self._diagnose()
        self._note_dev_error(dev.error, may_wait=course.state == "plateau")
        if self.world.is_main:
            self.best_weights.offer(position.epoch, dev.error, self.model)
            draw_curves(self.folder)  # before the checkpoint: a resumed run would not draw it again
        self._save()
        if self.world.is_main:
            self.best_weights.delete_others()
            self.progress.say(
                f"epoch {position.epoch}/{train.max_epochs}: train loss {train_loss:.2f}, "
                f"dev loss {dev.loss:.2f}, dev error {100 * dev.error:.2f} %, "
                f"{speed:.0f} x real time{course.remark(self.utterances)}"
            )
            if position.epoch == 1:
                for conversion, count in sorted(self.audio.conversions.items()):
                    self.progress.say(f"{count} training utterances: {conversion}")

    def _note_dev_error(self, error: float, may_wait: bool) -> None:
        """Count the epochs without a better dev error, for early stopping and `plateau`.

        A model that still says next to nothing, as every CTC model does at first, may wait.
        """
        position = self.position
        is_best = position.best_error is None or error < position.best_error
        if is_best:
            position.best_error = error
        if is_best or may_wait:
            position.best_epoch = position.epoch
            position.epochs_since_reduction = 0
            return
        position.epochs_since_reduction += 1
        if position.epochs_since_reduction > self.settings.train.plateau_patience:
            position.num_reductions += 1
            position.epochs_since_reduction = 0

    def _evaluate(self) -> DevResult:
        """Evaluate in the main process; every process gets the figures."""
        dev = self._measure_dev() if self.world.is_main else DevResult(0.0, 0.0, 0.0)
        return DevResult(*(self.world.broadcast(value) for value in astuple(dev)))

    def _measure_dev(self) -> DevResult:
        self.model.eval()
        with torch.inference_mode():
            return self.evaluate(self.model)

    def _diagnose(self) -> Course:
        """Tell how training fares, from its metrics; every process gets the state."""
        course = Course("learning")
        if self.world.is_main:
            self.metrics.flush()
            course = follow(self.folder)
        states: tuple[State, ...] = get_args(State)
        number = int(self.world.broadcast(states.index(course.state)))
        return replace(course, state=states[number])

    def _save_if_due(self) -> None:
        stop = self.world.any(self.interruption.requested)
        if stop or self.position.step % self.settings.train.checkpoint_steps == 0:
            self._save()
        if stop:
            raise KeyboardInterrupt

    def _save(self) -> None:
        """Write a checkpoint that continues exactly here."""
        if self.world.is_main:
            self.position.metrics_bytes = self.metrics.flush()
            self.position.loss_scale = self.scaler.state_dict()
            self.last.save(self.model, self.optimizer, self.position)

    def _finish(self) -> None:
        """Leave the best epoch's weights, or the mean of several where that is no worse."""
        if not self.world.is_main:
            return
        chosen, error = "best epoch", float(self.position.best_error or 0.0)
        weights = self.best_weights.best()
        if len(self.best_weights.errors) > 1:
            mean = self.best_weights.mean()
            load_weights_into(self.model, mean, self.checkpoints)
            mean_error = self._measure_dev().error
            self.progress.say(
                f"mean of {len(self.best_weights.errors)} epochs: dev error "
                f"{100 * mean_error:.2f} %, best epoch {100 * error:.2f} %"
            )
            if mean_error <= error:
                chosen, error, weights = "mean of epochs", mean_error, mean
        load_weights_into(self.model, weights, self.checkpoints)
        save_weights(self.checkpoints / FINAL_WEIGHTS, weights)
        self.metrics.write("final", self.position.step, {"chosen": chosen, "dev_error": error})
