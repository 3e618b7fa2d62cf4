"""Where somebody speaks: the Silero detector, on weights that the `silero-vad` package ships.

The package runs its network once every 32 ms of sound, which costs more than the recogniser does.
Here the layers that know no past hear many frames at once, and only the LSTM goes frame by frame;
the probabilities are those of the package. https://github.com/snakers4/silero-vad
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Protocol

import numpy as np
import soxr
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from asrkit.nn.denormals import flushed_denormals

FRAME_S = 0.032
"""From one probability to the next."""
_RATE_HZ = 16000
_FRAME, _CONTEXT = 512, 64
_MAX_FRAMES_AT_ONCE = 512
# Our names of the weights of the network for 16 kHz, and the package's.
_NAMES = {
    "stft.weight": "stft.forward_basis_buffer",
    **{
        f"encoder.{number}.{kind}": f"encoder.{number}.reparam_conv.{kind}"
        for number in range(4)
        for kind in ("weight", "bias")
    },
    **{
        f"lstm.{kind}_l0": f"decoder.rnn.{kind}"
        for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    },
    "output.weight": "decoder.decoder.2.weight",
    "output.bias": "decoder.decoder.2.bias",
}


class Vad(Protocol):
    """Listens to one recording, block by block."""

    def hear(self, samples: NDArray[np.float32], *, last: bool = False) -> NDArray[np.float32]:
        """Give the probability of speech of every frame of `FRAME_S` that has become complete.

        After the last block, which may be empty, there is one for each frame that has begun.
        """
        ...


class SileroVad:
    """Silero's detector at the beginning of a recording of some rate."""

    def __init__(self, sample_rate_hz: int) -> None:
        self._network = _load_network()
        self._resampler = None
        if sample_rate_hz != _RATE_HZ:
            self._resampler = soxr.ResampleStream(sample_rate_hz, _RATE_HZ, 1, "float32")
        # What is still to be heard, after the context that its first frame has.
        self._samples = np.zeros(_CONTEXT, np.float32)
        self._state = torch.zeros(2, 1, 1, self._network.lstm.hidden_size)

    def hear(self, samples: NDArray[np.float32], *, last: bool = False) -> NDArray[np.float32]:
        """Give the probabilities of the frames that are complete; at the end, of all."""
        if self._resampler:
            samples = self._resampler.resample_chunk(samples, last=last)
        known = np.concatenate([self._samples, samples])
        if last:
            missing = -(len(known) - _CONTEXT) % _FRAME
            known = np.concatenate([known, np.zeros(missing, np.float32)])
        num_frames = (len(known) - _CONTEXT) // _FRAME
        self._samples = known[num_frames * _FRAME :]
        if not num_frames:
            return np.zeros(0, np.float32)
        frames = torch.from_numpy(known).unfold(0, _CONTEXT + _FRAME, _FRAME)
        found = []
        with torch.inference_mode(), flushed_denormals(), _one_thread():
            for first in range(0, num_frames, _MAX_FRAMES_AT_ONCE):
                some = frames[first : first + _MAX_FRAMES_AT_ONCE]
                probabilities, self._state = self._network(some, self._state)
                found.append(probabilities.numpy())
        return np.concatenate(found)


class _Network(nn.Module):
    """The network of Silero VAD 6 for 16 kHz."""

    def __init__(self) -> None:
        super().__init__()
        self.stft = nn.Conv1d(1, 258, 256, stride=128, bias=False)
        self.encoder = nn.ModuleList(
            [
                nn.Conv1d(129, 128, 3, padding=1),
                nn.Conv1d(128, 64, 3, stride=2, padding=1),
                nn.Conv1d(64, 64, 3, stride=2, padding=1),
                nn.Conv1d(64, 128, 3, padding=1),
            ]
        )
        self.lstm = nn.LSTM(128, 128)
        self.output = nn.Conv1d(128, 1, 1)

    def forward(self, frames: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Hear frames (T, samples) that follow each other; give T probabilities and the state."""
        padded = F.pad(frames, (0, _CONTEXT), mode="reflect")
        real, imaginary = self.stft(padded[:, None]).chunk(2, dim=1)
        hidden = torch.sqrt(real**2 + imaginary**2)
        for layer in self.encoder:
            hidden = torch.relu(layer(hidden))
        outputs, (output, cell) = self.lstm(hidden.permute(2, 0, 1)[0][:, None], tuple(state))
        logits = self.output(torch.relu(outputs[:, 0])[..., None])
        return torch.sigmoid(logits).flatten(), torch.stack([output, cell])


@contextmanager
def _one_thread() -> Iterator[None]:
    """Keep torch from sharing out steps so small that threads would wait for each other."""
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(num_threads)


@cache
def _load_network() -> _Network:
    # Its safetensors file holds other weights, of an earlier version.
    with _one_thread(), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of TorchScript, which is its format
        # Not before it is needed: importing it sets the number of torch's threads to one.
        from silero_vad import load_silero_vad  # noqa: PLC0415

        weights = load_silero_vad().state_dict()
    network = _Network()
    network.load_state_dict({name: weights[f"_model.{theirs}"] for name, theirs in _NAMES.items()})
    return network.eval()
