"""Speech recognition with deep bidirectional LSTMs and CTC: train, transcribe, score."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from asrkit.api import SpeechModel, load_model

__version__ = "0.1.0"
__all__ = ["SpeechModel", "load_model"]


def __getattr__(name: str) -> Any:
    """Import torch, which takes seconds, with the first use of a model and not before."""
    if name in __all__:
        from asrkit import api  # noqa: PLC0415

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
