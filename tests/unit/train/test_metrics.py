"""The metrics file: whole lines, nothing twice after a resume, a copy on request."""

from __future__ import annotations

import errno
import io
import json
import os
import time
from pathlib import Path

import pytest

from asrkit.train.metrics import MetricsLog, holds_metrics, read_metrics


def write(folder: Path, keep_bytes: int, *losses: float) -> int:
    with MetricsLog(folder, keep_bytes) as log:
        for step, loss in enumerate(losses):
            log.write("step", step, {"loss": loss})
        return log.flush()


def test_lines(tmp_path: Path) -> None:
    length = write(tmp_path, 0, 0.1 + 0.2, 1.0)
    content = (tmp_path / "metrics.jsonl").read_bytes()
    assert len(content) == length
    assert [json.loads(line) for line in content.splitlines()] == [
        {"event": "step", "step": 0, "loss": 0.1 + 0.2},
        {"event": "step", "step": 1, "loss": 1.0},
    ]


def test_what_a_killed_run_wrote_beyond_its_checkpoint_is_cut_off(tmp_path: Path) -> None:
    first = write(tmp_path, 0, 1.0)
    write(tmp_path, first, 2.0, 3.0)
    write(tmp_path, first, 4.0)
    assert [item["loss"] for item in read_metrics(tmp_path, "step")] == [1.0, 4.0]


def test_length_is_right_before_anything_is_written(tmp_path: Path) -> None:
    first = write(tmp_path, 0, 1.0)
    write(tmp_path, first, 2.0, 3.0)
    assert write(tmp_path, first) == first
    assert (tmp_path / "metrics.jsonl").stat().st_size == first


def test_a_file_that_was_deleted_is_not_filled_up(tmp_path: Path) -> None:
    length = write(tmp_path, 0, 1.0, 2.0)
    (tmp_path / "metrics.jsonl").unlink()
    write(tmp_path, length, 3.0)
    assert [item["loss"] for item in read_metrics(tmp_path, "step")] == [3.0]


def test_of_a_file_that_was_shortened_the_whole_lines_stay(tmp_path: Path) -> None:
    first = write(tmp_path, 0, 1.0)
    both = write(tmp_path, first, 2.0)
    os.truncate(tmp_path / "metrics.jsonl", both - 3)
    write(tmp_path, both, 3.0)
    assert [item["loss"] for item in read_metrics(tmp_path, "step")] == [1.0, 3.0]


def test_of_a_file_that_ends_in_zeros_the_whole_lines_stay(tmp_path: Path) -> None:
    first = write(tmp_path, 0, 1.0)
    both = write(tmp_path, first, 2.0)
    with (tmp_path / "metrics.jsonl").open("r+b") as file:
        file.seek(both - 9)
        file.write(bytes(200))
    write(tmp_path, both, 3.0)
    assert [item["loss"] for item in read_metrics(tmp_path, "step")] == [1.0, 3.0]


def test_whether_the_events_of_a_checkpoint_are_there(tmp_path: Path) -> None:
    assert holds_metrics(tmp_path, 0)
    assert not holds_metrics(tmp_path, 10)
    length = write(tmp_path, 0, 1.0, 2.0)
    assert holds_metrics(tmp_path, length)
    assert not holds_metrics(tmp_path, length + 1)
    assert not holds_metrics(tmp_path, length - 1)


def test_a_full_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full_disk(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match=r"No space left on device; .* --resume") as caught:
        write(tmp_path, 0, 1.0)
    assert caught.value.filename == str(tmp_path / "metrics.jsonl")


def test_a_half_written_line_is_left_out(tmp_path: Path) -> None:
    write(tmp_path, 0, 1.0)
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"event": "step", "lo')
    assert [item["loss"] for item in read_metrics(tmp_path, "step")] == [1.0]
    assert read_metrics(tmp_path, "epoch") == []


def test_no_file_no_events(tmp_path: Path) -> None:
    assert read_metrics(tmp_path, "step") == []


def test_mirror_gets_the_same_lines(tmp_path: Path) -> None:
    mirror = io.StringIO()
    with MetricsLog(tmp_path, 0, mirror=mirror) as log:
        log.write("step", 1, {"loss": 0.5})
        log.write("final", 1, {"chosen": "best epoch"})
    assert mirror.getvalue().encode() == (tmp_path / "metrics.jsonl").read_bytes()


def test_disabled_writes_nothing(tmp_path: Path) -> None:
    mirror = io.StringIO()
    with MetricsLog(tmp_path, 0, enabled=False, mirror=mirror) as log:
        log.write("step", 1, {"loss": 0.5})
        assert log.flush() == 0
    assert not list(tmp_path.iterdir())
    assert not mirror.getvalue()


def test_tensorboard(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    write(tmp_path, 0, 1.0)
    assert list((tmp_path / "tensorboard").glob("events.*"))


def test_a_full_disk_that_tensorboards_thread_meets_is_named_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    records = pytest.importorskip("tensorboard.summary.writer.record_writer")

    def full_disk(_writer: object, _data: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def write_until_it_is_noticed() -> None:
        with MetricsLog(tmp_path, 0) as log:
            monkeypatch.setattr(records.RecordWriter, "write", full_disk)
            for step in range(1000):
                log.write("step", step, {"loss": 1.0})
                time.sleep(0.01)

    with pytest.raises(OSError, match=r"No space left on device; .* --resume") as caught:
        write_until_it_is_noticed()
    assert caught.value.filename == str(tmp_path / "tensorboard")
    assert "Traceback" not in capfd.readouterr().err
