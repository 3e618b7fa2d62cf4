"""Every reader takes or refuses damaged files; `scripts/fuzz` gives them many more."""

from __future__ import annotations

from pathlib import Path

import pytest
from fuzzing import TARGETS
from fuzzing.target import Target, attempt
from fuzzing.trial import try_seeds

SEED = 1
NUM_INPUTS = 50


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_a_damaged_file_is_taken_or_refused_by_name(target: Target) -> None:
    try_seeds(target)
    for number in range(NUM_INPUTS):
        outcome = attempt(target, target.draw(SEED, number))
        repeat = f"scripts/fuzz --target {target.name} --seed {SEED} --only {number}"
        assert outcome.kind in ("accepted", "refused"), f"{repeat}\n{outcome.report}"


def test_all_kinds_of_files_have_a_target() -> None:
    assert len(TARGETS) >= 40
    assert {"wav", "ogg", "manifest", "kaldi", "settings", "override", "arpa", "lm", "lexicon"} <= (
        TARGETS.keys()
    )
    assert {"model", "checkpoint", "archive", "resume", "metrics", "expected"} <= TARGETS.keys()


@pytest.mark.parametrize("name", ["ogg", "kaldi", "arpa", "lm", "model", "archive"])
def test_an_input_depends_on_target_seed_and_number_alone(name: str) -> None:
    target = TARGETS[name]
    try_seeds(target)
    anew = Target(name, target.make_seeds, target.read, target.assemble)
    drawn = [target.draw(SEED, number) for number in range(20)]
    assert [anew.draw(SEED, number) for number in range(20)] == drawn
    assert [anew.draw(SEED + 1, number) for number in range(20)] != drawn
    assert len({tuple(files.items()) for files in drawn}) > 15  # some damage is none
