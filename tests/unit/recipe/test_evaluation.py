"""The dev measures are those of the scorer; a split is decoded whole and in its own order."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from asrkit import inference
from asrkit.ctc.loss import ctc_nll
from asrkit.data.audio import read_audio
from asrkit.data.dataset import collate
from asrkit.data.manifest import Utterance
from asrkit.data.tokens import TokenTable
from asrkit.decode import search
from asrkit.decode.hypothesis import Hypothesis
from asrkit.errors import UsageError
from asrkit.model_file import Recognizer
from asrkit.nn.model import AcousticModel
from asrkit.recipe.evaluation import decode_split, make_evaluation
from asrkit.score.protocol import load_protocol
from asrkit.score.scorer import score
from asrkit.settings import Settings
from asrkit.train.transducer_loss import transducer_nll

SAID = ["ab ca", "c", "bb a cab", "a"]
REFERENCES = ["ab ca", "b", "bb aa cab", "a b"]


@pytest.fixture
def utterances(speak, tmp_path: Path) -> list[Utterance]:
    """Of which the model, who hears what is said, gets some letters of the reference wrong."""
    return [
        Utterance(u.utt_id, u.audio_path, u.duration_s, text)
        for u, text in zip(speak(tmp_path, "dev", SAID), REFERENCES, strict=True)
    ]


def settings_of(recognizer: Recognizer, **tables: dict[str, object]) -> Settings:
    return Settings.model_validate({**recognizer.settings.model_dump(), **tables})


@pytest.mark.parametrize("unit", ["word", "char"])
@pytest.mark.parametrize("max_batch_s", [0.1, 2.0, 100.0])
def test_dev_measures(
    tone_recognizer: Recognizer, utterances: list[Utterance], unit: str, max_batch_s: float
) -> None:
    model, tokens = tone_recognizer.model, tone_recognizer.tokens
    settings = settings_of(tone_recognizer, score={"unit": unit}, data={"max_batch_s": max_batch_s})
    with torch.inference_mode():
        dev = make_evaluation(utterances, tokens, settings)(model)

    references = {u.utt_id: u.text for u in utterances}
    hypotheses = dict(zip(references, SAID, strict=True))
    assert dev.error == score(references, hypotheses, unit, load_protocol("plain")).error_rate > 0
    assert dev.emission_rate == pytest.approx(len("".join(SAID)) / len("".join(REFERENCES)))

    losses = []
    for utterance in utterances:
        batch = collate([utterance], [read_audio(utterance.audio_path, 16000)], tokens)
        log_probs, out_lens = model(batch.waves, batch.wave_lens)
        losses.append(ctc_nll(log_probs, out_lens, batch.labels, batch.label_lens).item())
    assert dev.loss == pytest.approx(sum(losses) / len(losses), rel=1e-5)


def test_dev_errors_are_those_of_the_fast_search(
    tone_recognizer: Recognizer, utterances: list[Utterance], monkeypatch: pytest.MonkeyPatch
) -> None:
    methods = []

    def decode_batch(log_probs, out_lens, tokens, frame_s, settings, nbest) -> list[Hypothesis]:
        methods.append(settings.method)
        return search.decode_batch(log_probs, out_lens, tokens, frame_s, settings)

    monkeypatch.setattr(inference, "decode_batch", decode_batch)
    settings = settings_of(tone_recognizer, decode={"method": "beam"})
    with torch.inference_mode():
        make_evaluation(utterances, tone_recognizer.tokens, settings)(tone_recognizer.model)
    assert methods == ["greedy"]


def test_dev_errors_follow_the_protocol(tone_recognizer: Recognizer, speak, tmp_path: Path) -> None:
    # The model's letters renamed: it says `aa ao`, which timit39 does not tell from `ao aa`.
    tokens = TokenTable(("<blank>", "q", "aa", "ao", "h#"), "phone")
    (said,) = speak(tmp_path, "dev", ["ab"])
    utterance = Utterance(said.utt_id, said.audio_path, said.duration_s, "ao aa")
    errors = []
    for protocol in ("plain", "timit39"):
        settings = settings_of(tone_recognizer, score={"unit": "phone", "protocol": protocol})
        with torch.inference_mode():
            dev = make_evaluation([utterance], tokens, settings)(tone_recognizer.model)
        errors.append(dev.error)
    assert errors == [1.0, 0.0]


@pytest.mark.parametrize("method", ["greedy", "beam"])
def test_a_split_is_decoded_in_its_own_order(
    tone_recognizer: Recognizer, utterances: list[Utterance], tmp_path: Path, method: str
) -> None:
    settings = settings_of(tone_recognizer, decode={"method": method}, data={"max_batch_s": 1.0})
    path = tmp_path / "dev.jsonl"
    decode_split(path, tone_recognizer.model, utterances, tone_recognizer.tokens, settings)
    records = [json.loads(line) for line in path.read_text().splitlines()]
    assert [record["utt_id"] for record in records] == [u.utt_id for u in utterances]
    assert [record["text"] for record in records] == SAID
    # Greedy gives the probability of a path, the beam search of all paths to the text.
    log_prob = Hypothesis.from_json(records[0]).log_prob
    assert log_prob == pytest.approx({"greedy": -5.46, "beam": -4.41}[method], abs=0.01)


# --- other kinds of model


def model_of_kind(kind: str, tokens: TokenTable) -> tuple[AcousticModel, Settings]:
    torch.manual_seed(4)
    sizes = {"num_layers": 1, "hidden_size": 5, "prediction_size": 6, "joint_size": 5}
    settings = Settings.model_validate(
        {
            "recipe": {"name": "tones"},
            "data": {"max_batch_s": 1.5},
            "features": {"num_mel_bins": 12, "normalization": "utterance"},
            "model": {"kind": kind, **sizes},
            "score": {"unit": "char"},
        }
    )
    return AcousticModel(settings, len(tokens)).eval(), settings


@pytest.mark.parametrize("max_batch_s", [0.1, 100.0])
def test_dev_measures_of_a_transducer(utterances: list[Utterance], max_batch_s: float) -> None:
    tokens = TokenTable.from_texts(REFERENCES, "char")
    model, settings = model_of_kind("transducer", tokens)
    for parameter in model.network.parameters():  # else it says one thing only
        torch.nn.init.normal_(parameter)
    torch.nn.init.constant_(model.network.joint.output.bias[:1], 2.0)
    data = settings.data.model_copy(update={"max_batch_s": max_batch_s})
    with torch.inference_mode():
        dev = make_evaluation(utterances, tokens, settings.model_copy(update={"data": data}))(model)
        losses, texts, num_emitted = [], {}, 0
        for utterance in utterances:
            batch = collate([utterance], [read_audio(utterance.audio_path, 16000)], tokens)
            from_frames, out_lens = model(batch.waves, batch.wave_lens)
            heard = model.network.hear_labels(batch.labels)
            arguments = (model.network.joint, from_frames, out_lens, heard)
            losses.append(transducer_nll(*arguments, batch.labels, batch.label_lens).item())
            (said,) = inference.recognize(model, batch, tokens, settings.decode)
            texts[utterance.utt_id] = said.text
            num_emitted += len(said.tokens)
    references = {u.utt_id: u.text for u in utterances}
    assert dev.loss == pytest.approx(sum(losses) / len(losses), rel=1e-5)
    assert dev.error == score(references, texts, "char", load_protocol("plain")).error_rate
    assert dev.emission_rate == pytest.approx(num_emitted / len("".join(REFERENCES)))
    assert len(set("".join(texts.values()))) > 1


@pytest.mark.parametrize(
    ("decode", "expected"),
    [
        ({"method": "greedy"}, ("greedy", 16)),
        ({"method": "beam", "beam_size": 100}, ("beam", 4)),
        ({"method": "beam", "beam_size": 2}, ("beam", 2)),
    ],
)
def test_dev_errors_of_a_transducer_are_those_of_a_narrow_beam(
    utterances: list[Utterance],
    monkeypatch: pytest.MonkeyPatch,
    decode: dict[str, object],
    expected: tuple[str, int],
) -> None:
    searches = set()

    def decode_transducer_batch(frames, lens, *others) -> list[Hypothesis]:
        searches.add((others[-2].method, others[-2].beam_size))
        return [Hypothesis("", "char", (), 0.0)] * len(lens)

    monkeypatch.setattr(inference, "decode_transducer_batch", decode_transducer_batch)
    tokens = TokenTable.from_texts(REFERENCES, "char")
    model, settings = model_of_kind("transducer", tokens)
    settings = Settings.model_validate({**settings.model_dump(), "decode": decode})
    with torch.inference_mode():
        dev = make_evaluation(utterances, tokens, settings)(model)
    assert searches == {expected}
    assert dev.error == 1.0


def test_dev_measures_of_next_labels(utterances: list[Utterance]) -> None:
    tokens = TokenTable.from_texts(REFERENCES, "char")
    model, settings = model_of_kind("next_label", tokens)
    with torch.inference_mode():
        dev = make_evaluation(utterances, tokens, settings)(model)
        nats, wrong, num_predictions = 0.0, 0, 0
        for text in REFERENCES:
            labels = tokens.encode(text)
            log_probs = model.network(torch.tensor([labels]))[0]
            for place, label in enumerate([*labels, 0]):
                nats -= log_probs[place, label].item()
                wrong += int(log_probs[place].argmax()) != label
                num_predictions += 1
    assert dev.loss == pytest.approx(nats / len(REFERENCES), rel=1e-5)
    assert dev.error == pytest.approx(wrong / num_predictions)
    assert dev.error > 0
    assert dev.emission_rate == 1.0


def test_next_labels_recognise_nothing(utterances: list[Utterance], tmp_path: Path) -> None:
    tokens = TokenTable.from_texts(REFERENCES, "char")
    model, settings = model_of_kind("next_label", tokens)
    with pytest.raises(UsageError, match="recognises nothing"):
        decode_split(tmp_path / "dev.jsonl", model, utterances, tokens, settings)
