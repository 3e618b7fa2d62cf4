"""The mini recipe with pieces of words, on some of its corpus: every stage, and what follows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from asrkit.bundled import RECIPES_DIR
from asrkit.config import load_settings
from asrkit.data.manifest import read_manifest, write_manifest
from asrkit.errors import FeasibilityError, TokenError
from asrkit.lm.build import build_model
from asrkit.lm.model_file import save_ngram
from asrkit.model_file import load_recognizer
from asrkit.recipe.run_folder import RunFolder
from asrkit.recipe.stages import RecipeRun
from asrkit.settings import DecodeSettings
from asrkit.train.distributed import World
from asrkit.train.metrics import read_metrics
from asrkit.transcribe.align import AlignedRecording, align_recordings
from asrkit.transcribe.align_inputs import Recording
from asrkit.tuning.dev_set import listen

MINI = RECIPES_DIR / "mini"


def carry_out(folder: Path, dev_text: str | None = None, *overrides: str) -> RecipeRun:
    """Prepare and train a small run; `dev_text` replaces the first transcript of the dev set."""
    for split, count in {"train": 80, "dev": 6}.items():
        utterances = read_manifest(MINI / "corpus" / f"{split}.jsonl")
        write_manifest(folder / f"{split}.jsonl", utterances[:: len(utterances) // count])
    if dev_text is not None:
        lines = (folder / "dev.jsonl").read_text().splitlines()
        lines[0] = json.dumps({**json.loads(lines[0]), "text": dev_text})
        (folder / "dev.jsonl").write_text("\n".join(lines))
    settings = load_settings(
        MINI / "recipe.toml",
        [
            *(f"data.{split}={folder / split}.jsonl" for split in ("train", "dev")),
            *("data.test=''", "data.unit=bpe", "data.vocabulary_size=60"),
            *("model.hidden_size=32", "train.max_epochs=3", "train.warmup_steps=0"),
            *("train.intermediate_layers=[1]", "train.checkpoint_steps=1000"),
            *("decode.splits=['dev']", *overrides),
        ],
    )
    run = RunFolder(folder / "run")
    run.open(settings, resume=False)
    made = RecipeRun(MINI / "recipe.toml", settings, run, World(0, 1, torch.device("cpu")))
    made.prepare()
    made.train()
    return made


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> RecipeRun:
    made = carry_out(tmp_path_factory.mktemp("bpe"))
    made.decode()
    made.score()
    made.pack()
    return made


def test_it_learns_and_packs(trained: RecipeRun) -> None:
    steps = read_metrics(trained.run.folder, "step")
    assert steps[-1]["loss"] < 0.5 * steps[0]["loss"]
    recognizer = load_recognizer(trained.run.model)
    tokens = recognizer.tokens
    assert tokens.unit == "bpe"
    assert len(tokens) == 60
    assert trained.run.tokens.read_text("utf-8") == tokens.to_text()
    for utterance in read_manifest(trained.run.manifest("train")):
        ids = tokens.encode(utterance.text)
        assert tokens.decode(ids) == utterance.text
        assert len(ids) < 0.8 * len(utterance.text)


def test_decoding_and_alignment(trained: RecipeRun, tmp_path: Path) -> None:
    recognizer = load_recognizer(trained.run.model)
    utterances = read_manifest(trained.run.manifest("dev"))
    text = tmp_path / "text.txt"
    texts = [utterance.text for utterance in read_manifest(MINI / "corpus" / "train.jsonl")]
    text.write_text("\n".join(texts))
    save_ngram(tmp_path / "words.lm", build_model([text], 2, discount_fallback=True))
    dev = listen(recognizer, trained.run.manifest("dev"), threads=1)
    fused = DecodeSettings(method="beam", lm=str(tmp_path / "words.lm"), lm_weight=1.0)
    closed = fused.model_copy(update={"vocabulary": "closed", "hotwords": ("office:30",)})
    known = {word for text in texts for word in text.split()}
    for hypothesis in dev.decode(closed).hypotheses:
        assert set(hypothesis.text.split()) <= known
    for settings in (DecodeSettings(), fused):
        for hypothesis in dev.decode(settings).hypotheses:
            assert [word.word for word in hypothesis.words] == hypothesis.text.split()

    recordings = [
        Recording(u.utt_id, u.utt_id, u.audio_path, f"“{u.text.title()}!”") for u in utterances
    ]
    for utterance, aligned in zip(
        utterances, align_recordings(recognizer, recordings), strict=True
    ):
        assert isinstance(aligned, AlignedRecording), aligned
        assert len(aligned.words) == len(utterance.text.split())
        assert recognizer.tokens.decode(aligned.spelled.labels) == utterance.text
        starts_s = [word.start_s for word in aligned.words]
        assert starts_s == sorted(starts_s)


def test_dev_transcripts_that_cannot_be_measured_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TokenError, match=r"utterance .*: the token table has no 'ß'"):
        carry_out(tmp_path / "unknown", "open ß")
    with pytest.raises(FeasibilityError, match=r"1000 tokens with 0 repeats need 1000 frames"):
        carry_out(tmp_path / "long", "the to " * 500)


def test_a_vocabulary_too_large_for_the_corpus(tmp_path: Path) -> None:
    with pytest.raises(TokenError, match="vocabulary_size = 9000: the transcripts have only"):
        carry_out(tmp_path, None, "data.vocabulary_size=9000")
