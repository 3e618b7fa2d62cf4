"""What must hold before the first step."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from asrkit.data.dataset import encode_transcript
from asrkit.data.manifest import Utterance
from asrkit.data.tokens import TokenTable
from asrkit.features.speed import perturbed_len
from asrkit.nn.model import AcousticModel
from asrkit.train.objective import make_objective


def check_utterances(
    model: AcousticModel,
    utterances: Sequence[Utterance],
    tokens: TokenTable,
    speed_factors: Sequence[float] = (),
) -> None:
    """Refuse, naming them, utterances whose labels the model cannot fit into their frames.

    Raises
    ------
    FeasibilityError
        If frames < labels + repeats for CTC, or there is no frame for a transducer, after
        subsampling and at the fastest speed factor.
    TokenError
        If a transcript holds a symbol outside the token table.
    """
    num_frames = output_frames(model, utterances, speed_factors)
    make_objective(model).check(
        [
            (utterance.utt_id, encode_transcript(utterance, tokens), frames)
            for utterance, frames in zip(utterances, num_frames, strict=True)
        ]
    )


def output_frames(
    model: AcousticModel, utterances: Sequence[Utterance], speed_factors: Sequence[float] = ()
) -> list[int]:
    """Fewest frames that the model yields for each utterance, at the fastest speed factor."""
    fastest = max(speed_factors, default=1.0)
    num_samples = [
        perturbed_len(round(utterance.duration_s * model.sample_rate_hz), fastest)
        for utterance in utterances
    ]
    num_frames: list[int] = model.out_lens(torch.tensor(num_samples, dtype=torch.int64)).tolist()
    return num_frames
