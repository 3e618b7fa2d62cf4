"""Decode a batch of model outputs by the method that the settings name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor

from asrkit.data.tokens import TokenTable
from asrkit.decode.beam import as_frames, beam_search, to_hypotheses
from asrkit.decode.beam_fused import fused_beam_search
from asrkit.decode.beam_torch import beam_search_batch
from asrkit.decode.confidence import calibrate
from asrkit.decode.fusion import make_fusion
from asrkit.decode.fusion_settings import without_fusion
from asrkit.decode.greedy import greedy_search
from asrkit.decode.hypothesis import Hypothesis
from asrkit.decode.likelihood import scaled_likelihoods
from asrkit.decode.pruning import SearchLimits
from asrkit.decode.rescoring import make_rescoring
from asrkit.decode.transducer import Transducer, greedy_transducer_search
from asrkit.decode.transducer_beam import beam_transducer_search
from asrkit.errors import DataError, UsageError
from asrkit.settings import DecodeSettings

Found = TypeVar("Found")


def load_decode_files(settings: DecodeSettings, tokens: TokenTable) -> None:
    """Read what the settings name, and keep it: an error in it is found before the first batch.

    Raises
    ------
    AsrkitError
        If a language model, lexicon or hotword cannot be used.
    """
    make_fusion(settings, tokens)
    make_rescoring(settings)


def decode_batch(
    log_probs: Tensor,
    out_lens: Tensor,
    tokens: TokenTable,
    frame_s: float,
    settings: DecodeSettings,
    nbest: int = 1,
) -> list[Hypothesis]:
    """Decode each utterance by itself: its hypothesis depends on its own valid frames only.

    Parameters
    ----------
    log_probs : Tensor, shape (N, T, V)
        Log-probabilities, on any device.
    out_lens : Tensor, shape (N,), int64
        Valid frames of each utterance, 0 to T; the others are never read.
    tokens : TokenTable
        Of V symbols.
    frame_s : float
        Seconds from one frame to the next: the feature shift times the model's subsampling.
    settings : DecodeSettings
    nbest : int
        Hypotheses of each utterance: the best has the others as its alternatives.

    Returns
    -------
    list of Hypothesis
        N of them, in the order of the batch. A CPU takes as many utterances at once as torch has
        threads. On a GPU the beam search runs there, unless it has a language model or hotwords.

    Raises
    ------
    DataError
        If a valid frame holds NaN or no possible token at all.
    AsrkitError
        If a language model, lexicon or hotword of the settings cannot be used.
    """
    if settings.method == "beam":
        log_probs = scaled_likelihoods(log_probs, settings)
    utterances = list(_valid_frames(log_probs.cpu(), out_lens))
    if settings.method == "greedy":
        hypotheses = _in_threads(partial(greedy_search, tokens=tokens, frame_s=frame_s), utterances)
    else:
        fusion = make_fusion(settings, tokens)
        limits = SearchLimits.of(settings)
        if fusion is not None:
            search = partial(
                fused_beam_search,
                tokens=tokens,
                frame_s=frame_s,
                fusion=fusion,
                limits=limits,
                nbest=nbest,
                rescoring=make_rescoring(settings),
            )
            found = _in_threads(search, utterances)
        elif log_probs.is_cuda:
            labellings = beam_search_batch(log_probs, out_lens, limits, nbest)
            frames = map(as_frames, utterances)
            found = [
                to_hypotheses(*each, tokens, frame_s)
                for each in zip(labellings, frames, strict=True)
            ]
        else:
            search = partial(
                beam_search, tokens=tokens, frame_s=frame_s, limits=limits, nbest=nbest
            )
            found = _in_threads(search, utterances)
        hypotheses = [
            replace(best, alternatives=tuple(others)) if others else best for best, *others in found
        ]
    return [_calibrated(each, settings) for each in hypotheses]


def _in_threads(search: Callable[[Tensor], Found], utterances: Sequence[Tensor]) -> list[Found]:
    """Search every utterance; as many at once as torch has threads."""
    num_threads = min(len(utterances), torch.get_num_threads())
    if num_threads <= 1:
        return [search(each) for each in utterances]
    with ThreadPoolExecutor(num_threads) as pool:
        return list(pool.map(search, utterances))


def _calibrated(hypothesis: Hypothesis, settings: DecodeSettings) -> Hypothesis:
    """Calibrate the tokens' probabilities, and by that the words', each its least sure token's."""
    temperature, bias = settings.confidence_temperature, settings.confidence_bias
    if (temperature, bias) == (1, 0):
        return hypothesis
    return replace(
        hypothesis,
        tokens=tuple(
            replace(token, probability=calibrate(token.probability, temperature, bias))
            for token in hypothesis.tokens
        ),
        alternatives=tuple(_calibrated(each, settings) for each in hypothesis.alternatives),
    )


def decode_transducer_batch(
    from_frames: Tensor,
    out_lens: Tensor,
    transducer: Transducer,
    tokens: TokenTable,
    frame_s: float,
    settings: DecodeSettings,
    nbest: int = 1,
) -> list[Hypothesis]:
    """Decode as `decode_batch` does, from what a transducer's joint layer hears of each frame.

    Parameters
    ----------
    from_frames : Tensor, shape (N, T, J)
        On the device of the transducer.
    transducer : Transducer
        Asked for the rest.

    Raises
    ------
    UsageError
        If the settings ask for what only the search of CTC has.
    """
    if settings.method == "beam" and without_fusion(settings) != settings:
        raise UsageError(
            "decode: a transducer's search has no language model, lexicon, word bonus, hotwords or "
            "priors; expected none of them; leave them out, or take a model trained by CTC"
        )
    hypotheses = []
    for frames in _valid_frames(from_frames, out_lens):
        if settings.method == "greedy":
            hypotheses.append(greedy_transducer_search(frames, transducer, tokens, frame_s))
        else:
            best, *others = beam_transducer_search(
                frames,
                transducer,
                tokens,
                frame_s,
                settings.beam_size,
                settings.token_min_log_prob,
                nbest,
            )
            hypotheses.append(replace(best, alternatives=tuple(others)) if others else best)
    return [_calibrated(each, settings) for each in hypotheses]


def _valid_frames(outputs: Tensor, out_lens: Tensor) -> Iterator[Tensor]:
    """Give the valid frames of each utterance of a batch; DataError if one is damaged."""
    for index, (padded, length) in enumerate(zip(outputs, out_lens.tolist(), strict=True)):
        frames = padded[:length]
        if not frames.amax(dim=-1).isfinite().all():
            raise DataError(
                f"decode: the model's output for utterance {index} of the batch is not finite; "
                "expected log-probabilities; the audio or the model's weights are damaged"
            )
        yield frames
