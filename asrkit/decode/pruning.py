"""What the beam searches of CTC leave out."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from asrkit.settings import DecodeSettings


@dataclass(frozen=True)
class SearchLimits:
    """How far a search looks: by default only the size of its beam is limited.

    Attributes
    ----------
    beam_size : int
        Prefixes kept from frame to frame, at least 1.
    token_min_log_prob : float
        In each frame prefixes grow only by tokens at least this likely, and by the likeliest in
        any case; `-inf` never prunes.
    max_frame_tokens : int
        In each frame prefixes grow only by this many likeliest tokens; 0 is by all.
    blank_skip_prob : float
        Frames whose blank is likelier than this are taken for nothing but a blank; 1 takes none.
    beam_threshold : float
        After each frame only prefixes stay that are likelier than e^-`beam_threshold` times the
        likeliest, all that is added counted; with 0 all do.
    """

    beam_size: int
    token_min_log_prob: float = -math.inf
    max_frame_tokens: int = 0
    blank_skip_prob: float = 1.0
    beam_threshold: float = 0.0

    @classmethod
    def of(cls, settings: DecodeSettings) -> SearchLimits:
        """Give the limits that settings set."""
        return cls(
            settings.beam_size,
            settings.token_min_log_prob,
            settings.max_frame_tokens,
            settings.blank_skip_prob,
            settings.beam_threshold,
        )

    @property
    def pruning(self) -> Pruning:
        """The limits but for the beam's size, as a search computes with them."""
        return Pruning(
            self.token_min_log_prob,
            self.max_frame_tokens,
            math.log(self.blank_skip_prob) if self.blank_skip_prob < 1 else math.inf,
            math.exp(-self.beam_threshold) if self.beam_threshold > 0 else 0.0,
        )


class Pruning(NamedTuple):
    """What a search leaves out, besides what finds no place in the beam.

    Attributes
    ----------
    token_min_log_prob, max_frame_tokens
        As in `SearchLimits`.
    skip_log_prob : float
        A frame whose blank is likelier is taken for nothing but a blank.
    least_share : float
        Only prefixes likelier than this share of the likeliest stay.
    """

    token_min_log_prob: float
    max_frame_tokens: int
    skip_log_prob: float
    least_share: float
