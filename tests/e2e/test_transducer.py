"""A transducer from the command line: trained, resumed, packed, used; and started from others."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from safetensors import safe_open

SIZES = [
    "--set=model.prediction_size=6",
    "--set=model.joint_size=6",
    "--set=data.max_batch_utterances=1",
]
TRANSDUCER = ["--set=model.kind=transducer", *SIZES]
BEAM = ["--set=decode.method=beam", "--set=decode.beam_size=4"]


def events(stdout: str, *kinds: str) -> Iterator[dict[str, object]]:
    return (e for e in map(json.loads, stdout.splitlines()) if e["event"] in kinds)


@pytest.fixture(scope="module")
def run(asrkit, recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run_dir = tmp_path_factory.mktemp("transducer") / "run"
    done = asrkit("train", recipe, "--run-dir", run_dir, "--json", *TRANSDUCER, *BEAM)
    assert done.returncode == 0, done.stderr
    steps = list(events(done.stdout, "step"))
    assert len(steps) == 8  # four utterances, each a batch, twice
    assert "emission_rate" not in steps[0]
    assert len(list(events(done.stdout, "score"))) == 2
    return run_dir


def test_the_model_can_be_used_at_once(asrkit, run: Path, recipe: Path) -> None:
    audio = recipe.parent / "corpus" / "test0.wav"
    done = asrkit("transcribe", audio, "--model", run / "model.asr", "--format", "json")
    assert done.returncode == 0, done.stderr
    decoded = json.loads((run / "decode" / "test.jsonl").read_text())
    assert json.loads(done.stdout)["text"] == decoded["text"]
    assert "transducer" in asrkit("model", "info", run / "model.asr").stdout


def test_it_goes_on_as_if_it_had_never_stopped(
    asrkit, run: Path, recipe: Path, tmp_path: Path
) -> None:
    """One epoch, then another, with the kind of the model known from the run."""
    common = ["train", recipe, "--run-dir", tmp_path / "run"]
    first = asrkit(*common, *TRANSDUCER, *BEAM, "--set=train.max_epochs=1")
    assert first.returncode == 0, first.stderr
    second = asrkit(*common, "--resume", "--set=train.max_epochs=2")
    assert second.returncode == 0, second.stderr
    for name in ("checkpoints/final.safetensors", "decode/dev.jsonl", "decode/test.jsonl"):
        assert (tmp_path / "run" / name).read_bytes() == (run / name).read_bytes(), name


def test_a_transducer_starts_from_two_trained_networks(
    asrkit, recipe: Path, tmp_path: Path
) -> None:
    def train(name: str, *options: str) -> Path:
        done = asrkit(
            "train",
            recipe,
            "--run-dir",
            name,
            "--set=train.max_epochs=1",
            *options,
            folder=tmp_path,
        )
        assert done.returncode == 0, done.stderr
        return tmp_path / name

    train("acoustic", *SIZES)
    linguistic = train("linguistic", "--set=model.kind=next_label", *SIZES)
    assert not (linguistic / "model.asr").exists()  # it recognises nothing
    assert not list((linguistic / "decode").iterdir())

    sources = [f"{name}/checkpoints/final.safetensors" for name in ("acoustic", "linguistic")]
    still = ["--set=train.optimizer=sgd", "--set=train.learning_rate=1e-30"]
    both = train("both", *TRANSDUCER, *still, f"--set=train.initial_weights={json.dumps(sources)}")
    with (
        safe_open(both / "checkpoints" / "final.safetensors", "pt") as found,
        safe_open(tmp_path / sources[0], "pt") as encoder,
        safe_open(tmp_path / sources[1], "pt") as prediction,
    ):
        taken = []
        for name in found.keys():  # noqa: SIM118
            for source in (encoder, prediction):
                if name.startswith("network.") and name in source.keys():  # noqa: SIM118
                    assert found.get_tensor(name).equal(source.get_tensor(name)), name
                    taken.append(name)
    assert {name.split(".")[1] for name in taken} == {"encoder", "prediction"}

    # The run is resumed where the sources are not.
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    resumed = asrkit(
        "train", recipe, "--run-dir", both, "--resume", "--set=train.max_epochs=2", folder=elsewhere
    )
    assert resumed.returncode == 0, resumed.stderr


def test_what_agrees_in_nothing_is_refused(asrkit, run: Path, recipe: Path, tmp_path: Path) -> None:
    source = run / "checkpoints" / "final.safetensors"
    done = asrkit(
        "train",
        recipe,
        f"--run-dir={tmp_path / 'run'}",
        "--set=model.hidden_size=5",
        f"--set=train.initial_weights={json.dumps([str(source)])}",
    )
    assert done.returncode == 1
    assert f"{source}: train.initial_weights: none of its" in done.stderr


def test_a_stage_that_there_is_not_is_refused(asrkit, recipe: Path, tmp_path: Path) -> None:
    common = ["train", recipe, "--run-dir", tmp_path / "run", "--set=model.kind=next_label"]
    assert asrkit(*common, "--stage=prepare").returncode == 0
    done = asrkit(*common, "--stage=decode")
    assert done.returncode == 2
    assert done.stderr == (
        "asrkit: --stage decode: a model of kind next_label recognises nothing; its stages are "
        "prepare, train\n"
    )
