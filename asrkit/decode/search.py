"""Decode a batch of model outputs by the method that the settings name."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from asrkit.data.tokens import TokenTable
from asrkit.decode.beam import beam_search
from asrkit.decode.greedy import greedy_search
from asrkit.decode.hypothesis import Hypothesis
from asrkit.decode.transducer import Transducer, greedy_transducer_search
from asrkit.decode.transducer_beam import beam_transducer_search
from asrkit.errors import DataError
from asrkit.settings import DecodeSettings


def decode_batch(
    log_probs: Tensor,
    out_lens: Tensor,
    tokens: TokenTable,
    frame_s: float,
    settings: DecodeSettings,
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

    Returns
    -------
    list of Hypothesis
        N of them, in the order of the batch.

    Raises
    ------
    DataError
        If a valid frame holds NaN or no possible token at all.
    """
    hypotheses = []
    for frames in _valid_frames(log_probs.cpu(), out_lens):
        if settings.method == "greedy":
            hypotheses.append(greedy_search(frames, tokens, frame_s))
        else:
            hypotheses += beam_search(
                frames, tokens, frame_s, settings.beam_size, settings.token_min_log_prob
            )
    return hypotheses


def decode_transducer_batch(
    from_frames: Tensor,
    out_lens: Tensor,
    transducer: Transducer,
    tokens: TokenTable,
    frame_s: float,
    settings: DecodeSettings,
) -> list[Hypothesis]:
    """Decode as `decode_batch` does, from what a transducer's joint layer hears of each frame.

    Parameters
    ----------
    from_frames : Tensor, shape (N, T, J)
        On the device of the transducer.
    transducer : Transducer
        Asked for the rest.
    """
    hypotheses = []
    for frames in _valid_frames(from_frames, out_lens):
        if settings.method == "greedy":
            hypotheses.append(greedy_transducer_search(frames, transducer, tokens, frame_s))
        else:
            hypotheses += beam_transducer_search(
                frames,
                transducer,
                tokens,
                frame_s,
                settings.beam_size,
                settings.token_min_log_prob,
            )
    return hypotheses


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
