"""What the beam searches of CTC leave out, as they compute with it."""

from __future__ import annotations

import math
from typing import NamedTuple


class Pruning(NamedTuple):
    """What a search leaves out, besides what finds no place in the beam.

    Attributes
    ----------
    token_min_log_prob : float
        Prefixes grow only by tokens at least this likely in a frame.
    max_frame_tokens : int
        Nor by more than this many; 0 sets no limit.
    skip_log_prob : float
        A frame whose blank is likelier is taken for nothing but a blank.
    least_share : float
        Only prefixes likelier than this share of the likeliest stay.
    """

    token_min_log_prob: float
    max_frame_tokens: int
    skip_log_prob: float
    least_share: float


def make_pruning(
    token_min_log_prob: float, max_frame_tokens: int, blank_skip_prob: float, beam_threshold: float
) -> Pruning:
    """Give what the parameters of `asrkit.decode.beam.beam_search` mean to a search."""
    skip_log_prob = math.log(blank_skip_prob) if blank_skip_prob < 1 else math.inf
    least_share = math.exp(-beam_threshold) if beam_threshold > 0 else 0.0
    return Pruning(token_min_log_prob, max_frame_tokens, skip_log_prob, least_share)
