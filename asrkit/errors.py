"""Everything asrkit can tell a user went wrong, and the exit code each failure gives.

A message reads `where: what is wrong, with the value; what was expected; what to do`.
"""

from __future__ import annotations

from collections.abc import Sequence

EXIT_OK = 0
EXIT_SOME_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130


class AsrkitError(Exception):
    """Base of every error a user can cause. `exit_code` is what the command line returns."""

    exit_code = EXIT_SOME_FAILED


class UsageError(AsrkitError):
    """The command cannot be carried out as asked: a wrong option, name or path."""

    exit_code = EXIT_USAGE


class ConfigError(UsageError):
    """A recipe, settings file or `--set` override is wrong."""


class AudioError(AsrkitError):
    """An audio file is missing, unreadable, empty or truncated."""


class ManifestError(AsrkitError):
    """A manifest, Kaldi folder or table cannot be read as a list of utterances."""


class TokenError(AsrkitError):
    """A transcript holds a symbol that the token table lacks, or a token table is malformed."""


class DataError(AsrkitError):
    """The data are readable but cannot be trained on or scored as they are."""


class FeasibilityError(DataError):
    """Some utterances have more labels than CTC can emit in the frames they give."""


class TrainingError(AsrkitError):
    """Training cannot go on: a non-finite loss, a run folder that does not match."""


class BandError(TrainingError):
    """A training left the band of what its recipe gave with several seeds."""


class DivergenceError(TrainingError):
    """A loss or a gradient is not finite on some utterances."""

    def __init__(self, message: str, step: int, utt_ids: Sequence[str]) -> None:
        super().__init__(message)
        self.step, self.utt_ids = step, tuple(utt_ids)


class CheckpointError(TrainingError):
    """A checkpoint is missing, damaged or belongs to other settings."""


class LostProcessError(TrainingError):
    """Another process of the training has ended, or does not answer any more."""


class ModelFileError(AsrkitError):
    """A `.asr` file is damaged, incomplete or of an unknown version."""


class LanguageModelError(AsrkitError):
    """A language model, or a text to make one from, cannot be read or used."""


class ScoreError(AsrkitError):
    """References and hypotheses cannot be paired or do not follow the protocol."""
