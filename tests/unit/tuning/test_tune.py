from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import pytest
import soundfile
import torch
from torch import Tensor

from asrkit.data.audio import read_audio
from asrkit.data.dataset import collate
from asrkit.data.manifest import Utterance, write_manifest
from asrkit.data.tokens import TokenTable
from asrkit.decode.hypothesis import Hypothesis
from asrkit.inference import recognize
from asrkit.model_file import Recognizer
from asrkit.nn.model import AcousticModel
from asrkit.settings import DecodeSettings
from asrkit.tuning.dev_set import Decoded, DevSet, listen
from asrkit.tuning.picture import draw_reliability, draw_surface
from asrkit.tuning.report import Checked, TuningReport
from asrkit.tuning.tune import Tuning, calibrate_words, tune
from asrkit.tuning.weights import Weights


def utterances(*texts: str) -> list[Utterance]:
    return [Utterance(f"u{i}", Path(f"u{i}.wav"), 1.8, text) for i, text in enumerate(texts)]


def spoken(recognizer: Recognizer, *paths: list[tuple[str, float]]) -> list[Tensor]:
    """Log-probabilities in which each frame has a symbol with a probability, the rest blank."""
    found = []
    for path in paths:
        probs = torch.full((len(path), len(recognizer.tokens)), 1e-9)
        for t, (symbol, probability) in enumerate(path):
            probs[t, 0] = 1 - probability
            probs[t, recognizer.tokens.symbols.index(symbol)] = max(probability, 1e-9)
        found.append(probs.log())
    return found


@pytest.fixture
def doubtful(tone_recognizer: Recognizer) -> DevSet:
    """Says `a`, which only the sum over alignments finds, and `b c`, of which `c` is wrong."""
    log_probs = spoken(
        tone_recognizer,
        [("a", 0.4), ("a", 0.4)],
        [("b", 0.9), (" ", 0.99), ("c", 0.8)],
    )
    return DevSet("dev", utterances("a", "b a"), log_probs, tone_recognizer, threads=2)


def test_takes_the_beam_where_it_is_better(doubtful: DevSet) -> None:
    tuning = tune(doubtful, DecodeSettings(), beam_sizes=[8, 2, 4])
    errors = {name: row.counts.num_errors for name, row in tuning.rows.items()}
    assert errors == {"greedy": 2, "beam": 1}
    assert tuning.chosen == "beam"
    assert (tuning.settings.method, tuning.settings.beam_size) == ("beam", 2)  # the smallest
    assert tuning.surface == {}
    assert "refused" not in TuningReport(tuning, doubtful).text()


def test_keeps_greedy_where_nothing_is_better(tone_recognizer: Recognizer) -> None:
    log_probs = spoken(tone_recognizer, [("a", 0.9), ("b", 0.4), ("b", 0.4)])
    dev = DevSet("dev", utterances("a"), log_probs, tone_recognizer, threads=1)
    tuning = tune(dev, DecodeSettings(method="beam"), beam_sizes=[4])
    assert tuning.rows["beam"].counts.num_errors > tuning.rows["greedy"].counts.num_errors
    assert (tuning.chosen, tuning.settings.method) == ("greedy", "greedy")
    text = TuningReport(tuning, dev).text()
    assert "chosen: greedy" in text
    assert "refused: beam, 100.00 %, is not better than the greedy search, 0.00 %" in text


class FusedDevSet(DevSet):
    """Makes the more errors with a language model, the further settings are off certain values."""

    def __init__(self, recognizer: Recognizer, **best: float) -> None:
        texts = ["a b", "b", "a", "b a b", "b b", "a a", "ab", "ba"]
        log_probs = spoken(recognizer, *[[("c", 0.9)]] * len(texts))
        super().__init__("dev", utterances(*texts), log_probs, recognizer, threads=1)
        self.best = best

    def decode(self, settings: DecodeSettings) -> Decoded:
        if not settings.lm:
            return super().decode(settings)
        off = sum(abs(getattr(settings, name) - value) for name, value in self.best.items())
        texts = [u.text if off < 0.15 * (i + 1) else "c" for i, u in enumerate(self.utterances)]
        hypotheses = [Hypothesis(text, "char", (), 0.0) for text in texts]
        counts = [self.count_errors(i, text) for i, text in enumerate(texts)]
        return Decoded(settings, hypotheses, sum(counts[1:], counts[0]), 0.001)


LM = DecodeSettings(lm="toy.arpa")


@pytest.fixture
def fused(tone_recognizer: Recognizer) -> Tuning:
    dev = FusedDevSet(tone_recognizer, lm_weight=0.6, word_bonus=1.0)
    return tune(dev, LM, beam_sizes=[4, 8])


def test_finds_the_weights_of_a_language_model(fused: Tuning) -> None:
    assert fused.chosen == "beam + LM"
    assert fused.rows["beam + LM"].counts.num_errors == 0
    assert abs(fused.settings.lm_weight - 0.6) + abs(fused.settings.word_bonus - 1.0) < 0.15
    assert (fused.settings.beam_size, fused.settings.lm) == (4, "toy.arpa")
    assert fused.rows["beam"].settings.lm == ""
    best = Weights(fused.settings.lm_weight, fused.settings.word_bonus)
    assert fused.surface[best] == min(fused.surface.values()) == 0
    assert max(fused.surface.values()) > 0


def test_unknown_words_cost_what_makes_the_fewest_errors(tone_recognizer: Recognizer) -> None:
    tuning = tune(FusedDevSet(tone_recognizer, oov_penalty=8.0), LM, beam_sizes=[4])
    assert tuning.settings.oov_penalty == 8.0
    assert tuning.rows["beam"].settings.oov_penalty == 0.0


def test_posteriors_become_what_makes_the_fewest_errors(tone_recognizer: Recognizer) -> None:
    dev = FusedDevSet(tone_recognizer, posterior_temperature=1.5, prior_weight=0.4)
    tuning = tune(dev, LM, beam_sizes=[4])
    assert (tuning.settings.posterior_temperature, tuning.settings.prior_weight) == (1.5, 0.4)
    assert len(tuning.settings.log_priors) == len(tone_recognizer.tokens)
    assert tuning.rows["beam"].settings.log_priors == ()
    assert "posterior_temperature 1.5, prior_weight 0.4" in TuningReport(tuning, dev).text()


def test_what_changes_nothing_is_left_as_it_is(fused: Tuning) -> None:
    assert (fused.settings.posterior_temperature, fused.settings.prior_weight) == (1.0, 0.0)
    assert fused.settings.oov_penalty == 0.0


ARPA = """\\data\\
ngram 1=5

\\1-grams:
-0.5 </s>
-99 <s>
-2 <unk>
-0.5 ab
-0.5 ca

\\end\\
"""


@pytest.fixture
def reading_phones(tmp_path: Path) -> DecodeSettings:
    (tmp_path / "lm.arpa").write_text(ARPA)
    (tmp_path / "words.txt").write_text("ab x y\nca z\n")
    return DecodeSettings(
        method="beam",
        reads="phones",
        lm=str(tmp_path / "lm.arpa"),
        lexicon=str(tmp_path / "words.txt"),
    )


PHONES = TokenTable.from_texts(["x y z"], "phone")


def test_phones_are_read_with_the_language_model_alone(
    tone_recognizer: Recognizer, reading_phones: DecodeSettings
) -> None:
    recognizer = dataclasses.replace(tone_recognizer, phones=PHONES)
    tokens = spoken(recognizer, [("c", 0.9)])
    phones = spoken(
        dataclasses.replace(recognizer, tokens=PHONES), [("x", 0.9), ("y", 0.9), ("z", 0.9)]
    )
    dev = DevSet("dev", utterances("ab ca"), tokens, recognizer, 1, phones)
    tuning = tune(dev, reading_phones, beam_sizes=[4])
    found = {
        name: (row.settings.reads, row.hypotheses[0].unit, row.hypotheses[0].text)
        for name, row in tuning.rows.items()
    }
    assert found == {
        "greedy": ("tokens", "char", "c"),
        "beam": ("tokens", "char", "c"),
        "beam + LM": ("phones", "phone", "ab ca"),
    }
    assert (tuning.chosen, tuning.settings.reads) == ("beam + LM", "phones")


def test_a_dev_set_is_listened_to_for_tokens_and_phones(
    tmp_path: Path, tone_recognizer: Recognizer, reading_phones: DecodeSettings, say_in_tones
) -> None:
    layers = tone_recognizer.settings.model.model_copy(update={"phone_layer": 1})
    settings = tone_recognizer.settings.model_copy(update={"model": layers})
    torch.manual_seed(4)
    model = AcousticModel(settings, len(tone_recognizer.tokens), num_phones=len(PHONES)).eval()
    recognizer = dataclasses.replace(tone_recognizer, model=model, settings=settings, phones=PHONES)
    found = []
    for number, text in enumerate(("abc", "a")):
        path = tmp_path / f"u{number}.wav"
        soundfile.write(path, say_in_tones(text), 16000)
        found.append(Utterance(path.stem, path, soundfile.info(path).duration, text))
    write_manifest(tmp_path / "dev.jsonl", found)
    dev = listen(recognizer, tmp_path / "dev.jsonl", threads=1)
    batch = collate(found, [read_audio(each.audio_path, 16000) for each in found], None)
    for decode in (DecodeSettings(method="beam"), reading_phones):
        table = recognizer.table(decode)
        expected = recognize(model, batch, table, decode)
        decoded = dev.decode(decode).hypotheses
        assert [each.unit for each in decoded] == [table.unit] * 2
        for one, other in zip(decoded, expected, strict=True):
            assert one.text == other.text
            assert one.log_prob == pytest.approx(other.log_prob, abs=1e-4)


def test_fits_the_confidence_of_the_words(doubtful: DevSet) -> None:
    decoded = doubtful.decode(DecodeSettings(method="beam", beam_size=4))
    probabilities, correct = doubtful.word_marks(decoded.hypotheses)
    assert correct == [True, True, False]
    assert probabilities == pytest.approx([0.4, 0.9, 0.8])
    fitted = calibrate_words(doubtful, decoded)
    assert fitted is not None
    assert fitted.calibrated != pytest.approx(list(fitted.probabilities))
    settings = DecodeSettings(confidence_temperature=2.0, confidence_bias=math.log(2))
    given = calibrate_words(doubtful, decoded, settings)
    assert given is not None
    assert given.calibrated[1] == pytest.approx(6 / 7)  # odds 9 become 3, and twice that


def test_no_words_no_calibration(tone_recognizer: Recognizer) -> None:
    dev = DevSet("dev", utterances("a"), spoken(tone_recognizer, []), tone_recognizer, threads=1)
    tuning = tune(dev, DecodeSettings(), beam_sizes=[4])
    assert tuning.calibration is None
    assert tuning.settings.confidence_temperature == 1.0
    assert TuningReport(tuning, dev).to_json()["dev"]["confidence"] is None


def test_the_report_holds_all_figures(doubtful: DevSet) -> None:
    tuning = tune(doubtful, DecodeSettings(), beam_sizes=[4])
    check = Checked(doubtful, tuning.rows, tuning.calibration)
    report = TuningReport(tuning, doubtful, check)
    header, _, greedy, beam, *_ = report.text().splitlines()
    assert header.count("WER on dev") == 2
    assert greedy.startswith("| greedy |  | 66.67 % | 66.67 % | ")
    assert beam.startswith("| beam | beam_size 4 | 33.33 % | 33.33 % | ")
    assert "optimistic" in report.text()
    record = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert record["dev"]["rows"]["beam"]["errors"] == 1
    assert record["check"]["rows"]["greedy"]["error_rate"] == pytest.approx(2 / 3)
    assert record["settings"]["beam_size"] == 4


def test_a_card_has_the_last_tuning_only(doubtful: DevSet) -> None:
    tuning = tune(doubtful, DecodeSettings(), beam_sizes=[4])
    once = TuningReport(tuning, doubtful).extend_card("# tones\n\nLetters.\n")
    assert once.startswith("# tones\n\nLetters.\n\n## Tuning\n\nOn dev (2 utterances, 0.00 h)")
    assert "expected calibration error" in once
    renamed = TuningReport(dataclasses.replace(tuning), doubtful)
    assert renamed.extend_card(once) == once


def test_pictures_are_drawn(tmp_path: Path, fused: Tuning, doubtful: DevSet) -> None:
    rates = {weights: errors / 14 for weights, errors in fused.surface.items()}
    best = Weights(fused.settings.lm_weight, fused.settings.word_bonus)
    draw_surface(tmp_path / "surface.png", rates, best, "WER")
    draw_surface(tmp_path / "flat.png", {best: 0.5}, best, "WER")
    calibration = calibrate_words(doubtful, doubtful.decode(DecodeSettings(method="beam")))
    assert calibration is not None
    draw_reliability(tmp_path / "reliability.png", calibration)
    for name in ("surface", "flat", "reliability"):
        assert (tmp_path / f"{name}.png").read_bytes()[:4] == b"\x89PNG"
