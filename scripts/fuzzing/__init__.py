"""What `scripts/fuzz` is made of; `tests/fuzz` runs a small form of it."""

from __future__ import annotations

from fuzzing import models, records, speech, transcripts

TARGETS = {
    target.name: target
    for module in (speech, transcripts, records, models)
    for target in module.TARGETS
}
"""By name."""
