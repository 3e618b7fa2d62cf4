"""A dev set whose log-probabilities are computed once and decoded many times."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from asrkit.data.audio_cache import AudioCache
from asrkit.data.manifest import Utterance, read_manifest
from asrkit.decode.hypothesis import Hypothesis
from asrkit.decode.likelihood import measure_log_priors
from asrkit.decode.search import decode_batch
from asrkit.errors import DataError, UsageError
from asrkit.inference import load_by_length
from asrkit.model_file import Recognizer
from asrkit.nn.denormals import flushed_denormals
from asrkit.nn.network import CtcNetwork
from asrkit.progress import CountProgress
from asrkit.score.alignment import Edit, align
from asrkit.score.alternation import read_reference
from asrkit.score.counts import ErrorCounts
from asrkit.score.protocol import Protocol, load_protocol
from asrkit.settings import DecodeSettings, Unit


@dataclass(frozen=True)
class Decoded:
    """What a dev set became under some settings."""

    settings: DecodeSettings
    hypotheses: Sequence[Hypothesis]
    counts: ErrorCounts
    utterance_s: float
    """Mean CPU time of the search, without the model's."""


class DevSet:
    """Utterances, their transcripts and what a model makes of them.

    Parameters
    ----------
    name
        For the report.
    utterances
        With their transcripts.
    log_probs
        Of each utterance, (T, V), on the CPU.
    phone_log_probs
        Likewise of phones, (T, P), if settings are to be tried that read them.
    recognizer
        Whose settings say how errors are counted.
    threads
        Utterances decoded at the same time.
    """

    def __init__(
        self,
        name: str,
        utterances: Sequence[Utterance],
        log_probs: Sequence[Tensor],
        recognizer: Recognizer,
        threads: int,
        phone_log_probs: Sequence[Tensor] = (),
    ) -> None:
        self.name = name
        self.utterances = utterances
        self.unit: Unit = recognizer.settings.score.unit
        self.protocol: Protocol = load_protocol(recognizer.settings.score.protocol)
        self._log_probs = log_probs
        self._phone_log_probs = phone_log_probs
        self._recognizer = recognizer
        self._threads = threads
        self._counts: dict[tuple[int, str], ErrorCounts] = {}

    @property
    def hours(self) -> float:
        """How much speech there is."""
        return sum(utterance.duration_s for utterance in self.utterances) / 3600

    def log_priors(self, settings: DecodeSettings) -> tuple[float, ...]:
        """Measure the priors of the symbols that the settings let the search read."""
        return measure_log_priors(self._heard(settings))

    def _heard(self, settings: DecodeSettings) -> Sequence[Tensor]:
        return self._phone_log_probs if settings.reads_phones else self._log_probs

    def decode(self, settings: DecodeSettings) -> Decoded:
        """Decode every utterance, each by itself, and count the errors."""
        tokens = self._recognizer.table(settings)
        heard = self._heard(settings)

        def search(log_probs: Tensor) -> tuple[Hypothesis, float]:
            start = time.thread_time()
            (hypothesis,) = decode_batch(
                log_probs[None],
                torch.tensor([len(log_probs)]),
                tokens,
                self._recognizer.model.frame_s,
                settings,
            )
            return hypothesis, time.thread_time() - start

        search(heard[0])  # loads and compiles what the others use
        with ThreadPoolExecutor(self._threads) as pool:
            found = list(pool.map(search, heard))
        hypotheses = [hypothesis for hypothesis, _ in found]
        counts = sum(
            (self.count_errors(index, each.text) for index, each in enumerate(hypotheses)),
            ErrorCounts(),
        )
        seconds = sum(duration for _, duration in found) / len(found)
        return Decoded(settings, hypotheses, counts, seconds)

    def count_errors(self, index: int, text: str) -> ErrorCounts:
        """Compare what was recognised with an utterance's transcript; kept, for texts recur."""
        key = (index, text)
        if key not in self._counts:
            self._counts[key] = ErrorCounts.from_edits(self._align(index, text, self.unit))
        return self._counts[key]

    def word_marks(self, hypotheses: Sequence[Hypothesis]) -> tuple[list[float], list[bool]]:
        """Give each recognised word's probability and whether it is right.

        A word is right if the tokens that the protocol makes of it are. Words of which it makes
        nothing are left out, and so are utterances where it joins words.
        """
        unit: Unit = "word" if self.unit == "char" else self.unit
        probabilities: list[float] = []
        correct: list[bool] = []
        for index, hypothesis in enumerate(hypotheses):
            edits = self._align(index, hypothesis.text, unit)
            hits = [edit.op == "hit" for edit in edits if edit.hyp is not None]
            words = hypothesis.words
            sizes = [len(self.protocol.apply(word.word, unit)) for word in words]
            if sum(sizes) != len(hits):
                continue
            start = 0
            for word, size in zip(words, sizes, strict=True):
                if size:
                    probabilities.append(word.probability)
                    correct.append(all(hits[start : start + size]))
                start += size
        return probabilities, correct

    def _align(self, index: int, text: str, unit: Unit) -> list[Edit]:
        utterance = self.utterances[index]
        reference = read_reference(utterance.text, self.protocol, unit, utterance.utt_id)
        recognized = self.protocol.apply(text, unit, utterance.utt_id)
        return align(reference, recognized, rule=self.protocol.alignment)


def listen(
    recognizer: Recognizer, manifest: Path, threads: int, max_batch_s: float = 120.0
) -> DevSet:
    """Read a dev set and let the model hear it, once.

    Raises
    ------
    UsageError
        If the model is not a CTC model.
    DataError
        If there is nothing to count errors against.
    """
    kind = recognizer.settings.model.kind
    if kind != "ctc":
        raise UsageError(
            f'tune: model.kind = "{kind}" cannot be tuned; expected "ctc", whose beam search takes '
            "language models"
        )
    utterances = read_manifest(manifest)
    if not any(utterance.text for utterance in utterances):
        raise DataError(
            f"{manifest}: no transcripts in {len(utterances)} utterances; expected them as text"
        )
    model = recognizer.model
    assert isinstance(model.network, CtcNetwork)
    log_probs: dict[str, Tensor] = {}
    phone_log_probs: dict[str, Tensor] = {}
    cache = AudioCache(model.sample_rate_hz, max_bytes=0)
    with CountProgress("listening", len(utterances)) as progress:
        for batch in load_by_length(utterances, None, cache, max_batch_s):
            with torch.inference_mode(), flushed_denormals():
                features = model.features(batch.waves, batch.wave_lens, batch.speakers)
                readings = model.network.read_all(*features)
            for number, (utt_id, length) in enumerate(
                zip(batch.utt_ids, readings.out_lens.tolist(), strict=True)
            ):
                log_probs[utt_id] = readings.tokens[number, :length].clone()
                if readings.phones is not None:
                    phone_log_probs[utt_id] = readings.phones[number, :length].clone()
            progress.advance(len(batch.utt_ids))
    return DevSet(
        manifest.name,
        utterances,
        [log_probs[each.utt_id] for each in utterances],
        recognizer,
        threads,
        [phone_log_probs[each.utt_id] for each in utterances if phone_log_probs],
    )
