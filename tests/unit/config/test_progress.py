"""The bar over seconds of audio."""

from __future__ import annotations

from typing import Any

from asrkit.progress import AudioProgress


def test_seconds_of_files_add_up() -> None:
    progress = AudioProgress("transcribing")

    def shown() -> tuple[Any, ...]:
        (task,) = progress._bar.tasks
        return task.completed, task.total, task.fields["heard"]

    progress.expect({"a": 3600.0, "b": 1800.0, "bad": 60.0})
    assert shown() == (0.0, 5460.0, "0:00:00 of 1:31:00")
    progress.advance("a", 600.0)
    progress.advance("b", 1790.0)  # heard before its turn
    progress.advance("a", 1200.5)
    assert shown() == (3590.5, 5460.0, "0:59:50 of 1:31:00")
    progress.finish("a")  # with silence at its end that nobody counted
    progress.finish("bad")
    progress.finish("b")
    assert shown() == (5460.0, 5460.0, "1:31:00 of 1:31:00")
    assert not progress.is_shown  # in a test nobody looks


def test_without_lengths_it_counts_all_the_same() -> None:
    progress = AudioProgress("transcribing")
    progress.advance("a", 5.0)
    progress.finish("a")
    (task,) = progress._bar.tasks
    assert task.total is None
