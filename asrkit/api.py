"""The Python interface: a trained model as one object.

>>> import asrkit
>>> transcript = asrkit.load_model().transcribe("talk.wav")
>>> transcript.text
>>> [(word.word, word.start_s, word.end_s) for word in transcript.words]
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from pydantic import ValidationError

from asrkit.bundled import ENGLISH_MODEL
from asrkit.decode.fusion_settings import (
    check_fusion,
    check_greedy,
    for_greedy_search,
    place_decode_files,
    with_own_rescoring,
)
from asrkit.decode.search import load_decode_files
from asrkit.errors import AudioError, ModelFileError, UsageError
from asrkit.model_file import Recognizer, load_recognizer
from asrkit.nn.denormals import flushed_denormals
from asrkit.nn.quantized import quantize_for_cpu
from asrkit.settings import DecodeSettings
from asrkit.transcribe.inputs import Source
from asrkit.transcribe.pipeline import DEFAULT_BATCH_S, Failure, Transcript, transcribe

Precision = Literal["float32", "int8"]


@dataclass(frozen=True)
class SpeechModel:
    """A model and how it decodes; made by `load_model`."""

    recognizer: Recognizer
    decode: DecodeSettings
    """Of the model file, with what `load_model` was asked for in its place; paths are complete."""

    def transcribe(self, path: str | Path, *, nbest: int = 1) -> Transcript:
        """Transcribe one recording of any format, rate, channel count and length.

        Parameters
        ----------
        path
            Of the audio file.
        nbest
            Hypotheses to find, with `method = "beam"`; all but the best are `alternatives` of a
            segment's `hypothesis`.

        Returns
        -------
        Transcript
            With `text`, timed `words` and `segments`. The text is empty if nobody speaks; of a
            recording of up to 30 s only if it is digital silence, or nothing is recognised in it.

        Raises
        ------
        AudioError
            If the file cannot be read to its end, or not be recognised.
        """
        (result,) = self.transcribe_all([path], nbest=nbest)
        if isinstance(result, Failure):
            raise AudioError(result.message)
        return result

    def transcribe_all(
        self, paths: Iterable[str | Path], *, nbest: int = 1, max_batch_s: float = DEFAULT_BATCH_S
    ) -> Iterator[Transcript | Failure]:
        """Transcribe many recordings together, one result each, in order, as they are done.

        A file that cannot be transcribed gives a `Failure` with its message; the others go on.
        """
        if nbest < 1:
            raise UsageError(f"nbest = {nbest}; expected at least 1")
        if nbest > 1 and self.decode.method == "greedy":
            raise UsageError(f'nbest = {nbest}: the greedy search finds one; take method = "beam"')
        sources = (Source(Path(path), Path(Path(path).stem), str(path)) for path in paths)
        with flushed_denormals():
            yield from transcribe(self.recognizer, sources, self.decode, max_batch_s, nbest)


def load_model(
    path: str | Path | None = None, *, precision: Precision = "float32", **decode: Any
) -> SpeechModel:
    """Load a model file (`.asr`); the English model that comes with asrkit, if none is named.

    It computes on a GPU where there is one, except in int8.

    Parameters
    ----------
    path
        Of the model file.
    precision
        "int8" has the recurrent layers in 8 bits, on the CPU: faster, hardly different.
    **decode
        Settings of `[decode]` to put in place of the model's own, e.g. `method="beam"`,
        `hotwords=["Lisbon"]`. With `method="greedy"` the model's language model is left out.

    Raises
    ------
    ModelFileError
        If the file is missing or damaged.
    UsageError
        If a setting is unknown, has a wrong value or would not be heeded.
    LanguageModelError
        If the language model cannot be used.
    """
    if precision not in get_args(Precision):
        allowed = ", ".join(get_args(Precision))
        raise UsageError(f"load_model: precision = {precision!r}; expected one of {allowed}")
    recognizer = open_model(path, precision)
    settings = recognizer.settings.decode
    if decode.get("method") == "greedy":
        settings = for_greedy_search(settings)
    given = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in with_own_rescoring(decode).items()
    }
    try:
        settings = DecodeSettings.model_validate({**dict(settings), **given})
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(str(part) for part in problem["loc"])
        raise UsageError(f"load_model: {where}: {problem['msg']}") from error
    check_greedy(settings, given)
    check_fusion(settings)
    load_decode_files(settings, recognizer.table(settings))
    return SpeechModel(recognizer, settings)


def open_model(path: str | Path | None, precision: Precision = "float32") -> Recognizer:
    """Load a model file, or the English model, to where it computes; paths to decode with complete.

    See `load_model` for what it raises.
    """
    if path is None and not ENGLISH_MODEL.is_file():
        raise ModelFileError(
            f"{ENGLISH_MODEL}: the English model is missing from this installation; install asrkit "
            "anew, or name a model file"
        )
    model_path = Path(path or ENGLISH_MODEL)
    recognizer = load_recognizer(model_path)
    decode = place_decode_files(recognizer.settings.decode, model_path.parent)
    settings = recognizer.settings.model_copy(update={"decode": decode})
    model = recognizer.model
    if precision == "int8":
        model = quantize_for_cpu(model)
    elif torch.cuda.is_available():
        model = model.cuda()
    return replace(recognizer, model=model, settings=settings)
