"""Log-probabilities of a recording of any length, in memory that hardly grows with it.

The network hears windows. Neighbours overlap by twice `CONTEXT_S`, and of the overlap each keeps
the half nearer to its own middle: every frame has been heard with that much of what comes before
and after it. Features and their normalisation are those of the whole recording.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from asrkit.errors import UsageError
from asrkit.features import deltas
from asrkit.features.fbank import Fbank
from asrkit.features.normalize import Normalizer, Statistics
from asrkit.nn.denormals import flushed_denormals
from asrkit.nn.model import AcousticModel
from asrkit.nn.network import CtcNetwork

WINDOW_S = 30.0
"""Longest stretch that is heard at once, its context included."""
CONTEXT_S = 5.0
WINDOWS_AT_ONCE = 4


def long_log_probs(
    model: AcousticModel,
    samples: NDArray[np.float32],
    speaker: str = "",
    reads_phones: bool = False,
) -> NDArray[np.float32]:
    """Compute the log-probabilities of one recording, where the model is.

    A recording of up to `WINDOW_S` is heard whole. In a longer one, frames near the seams differ
    from those of the whole by what the network hears from more than `CONTEXT_S` away.

    Parameters
    ----------
    model
        Of kind "ctc".
    samples
        (S,) at the model's rate.
    speaker
        Whose statistics to use, for `features.normalization = "speaker"`.
    reads_phones
        Whether phones are wanted of a network that has them, not tokens.

    Returns
    -------
    array, shape (T', V), of phones (T', P), float32

    Raises
    ------
    UsageError
        If the model is of another kind.
    """
    network = model.network
    if not isinstance(network, CtcNetwork):
        raise UsageError('the model is no CTC network; expected one with model.kind = "ctc"')
    speakers = [speaker] if speaker else []
    device = next(model.parameters()).device
    model.eval()
    with torch.inference_mode(), flushed_denormals():
        if len(samples) <= WINDOW_S * model.sample_rate_hz:
            wave = torch.from_numpy(samples)[None].to(device)
            length = torch.tensor([len(samples)], device=device)
            outputs, _ = model(wave, length, speakers, reads_phones)
            return _to_numpy(outputs[0])
        feats = _features(model, samples, device)
        normalizer = _normalizer_of_recording(model.normalizer, feats, speaker, device)
        windows = list(_windows(model, len(feats), network.encoder.frontend.subsampling))
        read = network.read_phones if reads_phones else network
        kept = []
        for first in range(0, len(windows), WINDOWS_AT_ONCE):
            some = windows[first : first + WINDOWS_AT_ONCE]
            lens = torch.tensor([len(feats[window.heard]) for window in some], device=device)
            batch = pad_sequence([feats[window.heard] for window in some], batch_first=True)
            normalized = normalizer(batch.to(device), lens, speakers * len(some))
            outputs, out_lens = read(normalized, lens)
            for window, output, length in zip(some, outputs, out_lens.tolist(), strict=True):
                kept.append(output[:length][window.kept].cpu())
        return _to_numpy(torch.cat(kept))


@dataclass(frozen=True, slots=True)
class _Window:
    """Feature frames that are heard, and of the output frames of these the ones that are kept."""

    heard: slice
    kept: slice


def _windows(model: AcousticModel, num_frames: int, subsampling: int) -> Iterator[_Window]:
    """Divide a recording so that each of its output frames is kept once."""
    context, length = (round(seconds / model.frame_s) for seconds in (CONTEXT_S, WINDOW_S))
    num_outputs = -(-num_frames // subsampling)
    kept_start = 0
    while kept_start < num_outputs:
        start = max(0, kept_start - context)
        stop = min(start + length, num_outputs)
        kept_stop = num_outputs if stop == num_outputs else stop - context
        heard = slice(start * subsampling, min(stop * subsampling, num_frames))
        yield _Window(heard, slice(kept_start - start, kept_stop - start))
        kept_start = kept_stop


def _features(model: AcousticModel, samples: NDArray[np.float32], device: torch.device) -> Tensor:
    """Compute (T, F) features before normalisation, on the CPU, as if all at once."""
    extractor = model.extractor
    reach = deltas.WINDOW * extractor.delta_order
    num_frames = int(extractor.frame_lens(torch.tensor([len(samples)])))
    fbank = extractor.static if isinstance(extractor.static, Fbank) else extractor.static.fbank
    shift, overhang = fbank.frame_shift, fbank.frame_length - fbank.frame_shift
    feats = torch.empty(num_frames, extractor.num_features)
    block = max(1, round(WINDOW_S / extractor.frame_shift_s))
    for start in range(0, num_frames, block):
        stop = min(start + block, num_frames)
        first, last = max(0, start - reach), min(stop + reach, num_frames)
        wave = torch.from_numpy(samples[first * shift : last * shift + overhang]).to(device)
        frames, _ = extractor(wave[None], torch.tensor([len(wave)], device=device))
        feats[start:stop] = frames[0, start - first : stop - first].cpu()
    return feats


def _normalizer_of_recording(
    normalizer: Normalizer, feats: Tensor, speaker: str, device: torch.device
) -> Normalizer:
    """Give one that takes from the whole recording what the model's takes from an utterance."""
    own = normalizer.mode == "utterance" or (
        normalizer.mode == "speaker" and speaker not in normalizer.speaker_names
    )
    if not own:
        return normalizer
    num_features = feats.shape[1]
    statistics = Statistics(num_features)
    for block in torch.split(feats, 4096):
        statistics.update(block[None], torch.tensor([len(block)]))
    of_recording = Normalizer("global", num_features)
    of_recording.set_statistics(statistics)
    return of_recording.to(device)


def _to_numpy(outputs: Tensor) -> NDArray[np.float32]:
    array: NDArray[np.float32] = outputs.float().cpu().numpy()
    return array
