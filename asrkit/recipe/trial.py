"""Predict what a training will take, by some of its own steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import numpy as np
import torch

from asrkit.data.audio_cache import DEFAULT_MAX_BYTES, AudioCache
from asrkit.data.batching import batches_of_epoch
from asrkit.data.corpus import Corpus
from asrkit.data.manifest import Utterance, write_manifest
from asrkit.data.pronunciation import Pronunciations
from asrkit.nn.model import AcousticModel
from asrkit.progress import CountProgress
from asrkit.recipe.evaluation import make_evaluation
from asrkit.recipe.plan import (
    Cost,
    Plan,
    describe,
    peak_gpu_memory_bytes,
    peak_memory_bytes,
    relevant,
)
from asrkit.recipe.prepare import fit_normalizer, load_corpus, make_pronunciations, make_tokens
from asrkit.settings import Settings
from asrkit.train.checkpoint import save_checkpoint, save_weights
from asrkit.train.curves import draw_curves
from asrkit.train.distributed import World
from asrkit.train.loop import Trainer
from asrkit.train.metrics import MetricsLog

_MIN_ROUNDS, _MAX_ROUNDS = 2, 6
_ENOUGH_S = 20.0


def make_plan(recipe_toml: Path, settings: Settings, device: torch.device) -> Plan:
    """Predict what the training of a recipe takes in one process on a device.

    The corpus is read as the prepare stage reads it. Then the trainer takes real steps, nothing of
    which is kept, on the batches of the first epoch with the shortest, the longest and some
    utterances in between, and on the one with the most audio, padding included. A second of
    padded audio in any other batch takes what those next to it in length take. Reading audio is
    part of it; a disk slower than the memory that holds files once read is not.

    Raises
    ------
    AsrkitError
        As the prepare stage, and as the first step of training.
    """
    corpus = load_corpus(recipe_toml, settings.data)
    with (
        TemporaryDirectory(prefix="asrkit-plan-") as folder,
        MetricsLog(Path(folder), keep_bytes=0) as metrics,
    ):
        pronunciations = make_pronunciations(recipe_toml, corpus, settings)
        trial = _Trial(corpus, pronunciations, settings, Path(folder), device)
        trial.trainer.metrics = metrics
        epochs_s = trial.time_epochs()
        closing_s = trial.time_end_of_epoch()
        return Plan(
            device=describe(device),
            num_utterances=len(trial.train),
            audio_s=sum(utterance.duration_s for utterance in trial.train),
            num_steps=trial.num_steps,
            max_epochs=settings.train.max_epochs,
            cost=Cost(
                epoch_s=float(np.median(epochs_s)) + closing_s,
                memory_bytes=peak_memory_bytes() + trial.cache_growth_bytes(),
                gpu_memory_bytes=peak_gpu_memory_bytes(device),
                disk_bytes=trial.disk_bytes(),
            ),
            epoch_range_s=(min(epochs_s) + closing_s, max(epochs_s) + closing_s),
            made_for=relevant(settings),
        )


@dataclass(frozen=True)
class WorstBatch:
    """The batch of the first epoch with the most audio, padding included, and what it takes.

    Attributes
    ----------
    utterances
        In it.
    padded_s
        Their number times the longest of them, in seconds.
    memory_bytes, gpu_memory_bytes
        Most that training holds; where there is a GPU, of the memory that matters there.
    is_measured
        Whether the batch was tried. Where two smaller ones let expect that it does not fit, it was
        not; nor where it did not fit the GPU, which `gpu_memory_bytes` then exceeds.
    """

    utterances: list[Utterance]
    padded_s: float
    memory_bytes: int
    gpu_memory_bytes: int
    is_measured: bool


def try_worst_batch(
    corpus: Corpus,
    pronunciations: Pronunciations | None,
    settings: Settings,
    device: torch.device,
    limit_bytes: int,
) -> WorstBatch:
    """Take a real step on the batch with the most audio, nothing of which is kept.

    Two smaller batches go before it. If memory grows with them so that the largest would need more
    than `limit_bytes` (of the GPU's memory where there is a GPU), it is not tried.

    Raises
    ------
    AsrkitError
        As the first step of training.
    """
    with (
        TemporaryDirectory(prefix="asrkit-trial-") as folder,
        MetricsLog(Path(folder), keep_bytes=0) as metrics,
    ):
        trial = _Trial(corpus, pronunciations, settings, Path(folder), device)
        trial.trainer.metrics = metrics
        return trial.try_worst(limit_bytes)


class _Trial:
    """A trainer on the whole corpus, of which some batches are tried."""

    def __init__(
        self,
        corpus: Corpus,
        pronunciations: Pronunciations | None,
        settings: Settings,
        folder: Path,
        device: torch.device,
    ) -> None:
        self.corpus, self.settings, self.folder = corpus, settings, folder
        self.train, self.dev = corpus.splits["train"], corpus.splits["dev"]
        self.batches = batches_of_epoch(self.train, settings, epoch=0)
        longest = [max(self.train[i].duration_s for i in batch) for batch in self.batches]
        self.longest_s = np.array(longest)
        self.padded_s = self.longest_s * [len(batch) for batch in self.batches]
        self.tried = self._choose()
        heard = sorted({index for number in self.tried for index in self.batches[number]})
        self.heard = [self.train[index] for index in heard]
        self.dev_sample = self._sample_dev()

        torch.manual_seed(settings.recipe.seed)
        tokens = make_tokens(corpus, settings.data)
        normalizer = fit_normalizer(Corpus({"train": self.heard}), settings)
        model = AcousticModel(
            settings,
            len(tokens),
            normalizer.speaker_names,
            num_phones=len(pronunciations.table) if pronunciations else 0,
        )
        model.normalizer.load_state_dict(normalizer.state_dict())
        evaluate = make_evaluation(self.dev_sample, tokens, settings)
        world = World(0, 1, device)
        self.trainer = Trainer(
            model,
            self.train,
            tokens,
            evaluate,
            settings,
            folder,
            world,
            pronunciations=pronunciations,
        )
        self.device = device

    @property
    def num_steps(self) -> int:
        """Steps an epoch."""
        return -(-len(self.batches) // self.settings.train.accumulate_batches)

    def _choose(self) -> list[int]:
        """Batches to be tried: over the range of lengths, and the one with the most audio."""
        by_length = np.argsort(self.longest_s, kind="stable")
        places = np.linspace(0, len(by_length) - 1, num=4).round().astype(int)
        chosen = {int(self.padded_s.argmax()), *by_length[places].tolist()}
        return sorted(chosen, key=lambda number: -float(self.padded_s[number]))

    def _sample_dev(self) -> list[Utterance]:
        """Utterances of all lengths, some batches of them."""
        by_length = sorted(self.dev, key=lambda utterance: utterance.duration_s)
        total_s = sum(utterance.duration_s for utterance in by_length)
        return by_length[:: max(1, round(total_s / (2 * self.settings.data.max_batch_s)))]

    def time_epochs(self) -> list[float]:
        """Seconds of the steps of an epoch, by each round of those that are tried."""
        if not self._fits_cache(self.train):
            self.trainer.audio = AudioCache(self.settings.data.sample_rate_hz, max_bytes=0)
        rounds = self._time_steps()
        order = sorted(range(len(self.tried)), key=lambda i: self.longest_s[self.tried[i]])
        tried = np.array(self.tried)[order]
        epochs_s = []
        for seconds in rounds:
            rates = np.array(seconds)[order] / self.padded_s[tried]
            of_each = np.interp(self.longest_s, self.longest_s[tried], rates) * self.padded_s
            epochs_s.append(float(of_each.sum()))
        return epochs_s

    def _time_steps(self) -> list[list[float]]:
        """Seconds of each batch that is tried, round by round; a first round only warms up."""
        trainer, num_rounds = self.trainer, 1 + _MAX_ROUNDS
        together = self.settings.train.accumulate_batches
        groups = [[self.batches[number]] * together for number in self.tried]
        ahead = [batch for group in groups for batch in group] * num_rounds
        loaded = trainer.load(ahead)
        rounds: list[list[float]] = []
        trainer.model.train()
        try:
            for number in range(num_rounds):
                seconds = []
                for group in groups:
                    begun_s = perf_counter()
                    trainer.step(group, loaded, share=0.0)
                    self._synchronize()
                    seconds.append((perf_counter() - begun_s) / together)
                rounds.append(seconds)
                measured_s = together * sum(map(sum, rounds[1:]))
                if number >= _MIN_ROUNDS and measured_s > _ENOUGH_S:
                    break
        finally:
            loaded.close()
        return rounds[1:]

    def try_worst(self, limit_bytes: int) -> WorstBatch:
        """Take a step on the least, a middle and the largest of the batches that are tried."""
        largest, *smaller = self.tried  # it comes first
        padded_s = float(self.padded_s[largest])
        taken: list[tuple[float, int]] = []
        is_measured, needed = True, 0
        with CountProgress("trying batches", 1 + len(smaller[-1::-2])) as progress:
            for number in [*smaller[-1::-2], largest]:
                needed = _extrapolate(taken, float(self.padded_s[number]))
                is_measured = needed <= limit_bytes and self._fits(number)
                if not is_measured:
                    needed = max(needed, limit_bytes + 1)
                    break
                taken.append((float(self.padded_s[number]), self._peak_bytes()))
                progress.advance()
        on_gpu = self.device.type == "cuda"
        host, gpu = peak_memory_bytes(), peak_gpu_memory_bytes(self.device)
        if not is_measured:
            host, gpu = (host, needed) if on_gpu else (needed, gpu)
        utterances = [self.train[index] for index in self.batches[largest]]
        growth = self.cache_growth_bytes()
        return WorstBatch(utterances, padded_s, host + growth, gpu, is_measured)

    def _fits(self, number: int) -> bool:
        """Take a step on a batch; tell whether it fits the GPU."""
        group = [self.batches[number]] * self.settings.train.accumulate_batches
        trainer = self.trainer
        loaded = trainer.load(group)
        trainer.model.train()
        try:
            trainer.step(group, loaded, share=0.0)
            self._synchronize()
        except torch.OutOfMemoryError:
            return False
        finally:
            loaded.close()
        return True

    def _peak_bytes(self) -> int:
        on_gpu = self.device.type == "cuda"
        return peak_gpu_memory_bytes(self.device) if on_gpu else peak_memory_bytes()

    def time_end_of_epoch(self) -> float:
        """Seconds of the evaluation, and of the checkpoints and the picture of an epoch."""
        trainer, checkpoints = self.trainer, self.trainer.checkpoints
        trainer.model.eval()
        with torch.inference_mode():
            trainer.evaluate(trainer.model)  # reads the audio
            begun_s = perf_counter()
            dev = trainer.evaluate(trainer.model)
            self._synchronize()
            evaluation_s = perf_counter() - begun_s
        evaluation_s *= _total_s(self.dev) / _total_s(self.dev_sample)

        begun_s = perf_counter()
        save_checkpoint(
            checkpoints / "last.safetensors", trainer.model, trainer.optimizer, trainer.position
        )
        checkpoint_s = perf_counter() - begun_s
        num_checkpoints = 1 + self.num_steps / self.settings.train.checkpoint_steps

        begun_s = perf_counter()
        save_weights(checkpoints / "epoch.safetensors", trainer.model.state_dict())
        losses = {"train_loss": dev.loss, "dev_loss": dev.loss, "dev_error": dev.error}
        trainer.metrics.write("epoch", trainer.position.step, {"epoch": 1, **losses})
        trainer.metrics.flush()
        draw_curves(self.folder)
        return evaluation_s + num_checkpoints * checkpoint_s + (perf_counter() - begun_s)

    def cache_growth_bytes(self) -> int:
        """Bytes of audio that training will keep in memory beyond what the trial did."""
        sets = [(self.train, self.heard), (self.dev, self.dev_sample)]
        growth = 0
        for whole, tried in sets:
            held = self._audio_bytes(tried) if self._fits_cache(whole) else 0
            growth += max(0, min(DEFAULT_MAX_BYTES, self._audio_bytes(whole)) - held)
        return growth

    def disk_bytes(self) -> int:
        """Bytes of the run folder after training."""
        for split, utterances in self.corpus.splits.items():
            write_manifest(self.folder / "data" / f"{split}.jsonl", utterances)
        train, checkpoints = self.settings.train, self.trainer.checkpoints
        # The final ones, those of the best epochs, and of one that was among these before.
        num_kept = 1 + min(train.average_checkpoints + 1, train.max_epochs)
        weights = num_kept * (checkpoints / "epoch.safetensors").stat().st_size
        last = (checkpoints / "last.safetensors").stat().st_size
        metrics = (self.folder / "metrics.jsonl").stat().st_size / self.trainer.position.step
        other = [*(self.folder / "data").iterdir(), self.folder / "curves.png"]
        return round(
            2 * last  # and the one before
            + weights
            + metrics * self.num_steps * train.max_epochs
            + sum(path.stat().st_size for path in other)
        )

    def _audio_bytes(self, utterances: Sequence[Utterance]) -> int:
        return round(4 * self.settings.data.sample_rate_hz * _total_s(utterances))

    def _fits_cache(self, utterances: Sequence[Utterance]) -> bool:
        return self._audio_bytes(utterances) <= DEFAULT_MAX_BYTES

    def _synchronize(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def _extrapolate(taken: Sequence[tuple[float, int]], padded_s: float) -> int:
    """Expect the peak of a batch from those of the last two before it, (seconds, bytes) each."""
    if not taken:
        return 0
    (before_s, before), (last_s, last) = taken[-2:] if len(taken) > 1 else (taken[-1], taken[-1])
    rise = (last - before) / (last_s - before_s) if last_s > before_s else 0.0
    return round(last + rise * (padded_s - last_s))


def _total_s(utterances: Sequence[Utterance]) -> float:
    return sum(utterance.duration_s for utterance in utterances)
