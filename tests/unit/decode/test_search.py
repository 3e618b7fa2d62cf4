from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from asrkit.data.tokens import TokenTable
from asrkit.decode.beam import beam_search
from asrkit.decode.fusion_settings import check_fusion, for_greedy_search
from asrkit.decode.greedy import greedy_search
from asrkit.decode.pruning import SearchLimits
from asrkit.decode.search import decode_batch
from asrkit.errors import DataError, UsageError
from asrkit.settings import DecodeSettings

GREEDY = DecodeSettings(method="greedy")
BEAM = DecodeSettings(method="beam", beam_size=6, token_min_log_prob=-5.0)
OUT_LENS = torch.tensor([25, 0, 7, 13])


@pytest.fixture
def log_probs() -> Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.randn(4, 25, 5, generator=generator).log_softmax(-1)


@pytest.mark.parametrize("settings", [GREEDY, BEAM], ids=["greedy", "beam"])
@pytest.mark.parametrize("rubbish", [0.0, 1e9, math.nan])
def test_neither_padding_nor_neighbours_change_a_hypothesis(
    settings: DecodeSettings, rubbish: float, log_probs: Tensor, chars: TokenTable
) -> None:
    for n, length in enumerate(OUT_LENS.tolist()):
        log_probs[n, length:] = rubbish
    together = decode_batch(log_probs, OUT_LENS, chars, 0.01, settings)
    alone = [
        decode_batch(log_probs[n, None, :length], OUT_LENS[n, None], chars, 0.01, settings)[0]
        for n, length in enumerate(OUT_LENS.tolist())
    ]
    assert together == alone
    assert together[1].text == ""
    assert together[0].tokens[-1].end_s > together[3].tokens[-1].end_s


def test_the_settings_choose_the_search(log_probs: Tensor, chars: TokenTable) -> None:
    (greedy,) = decode_batch(log_probs[:1], OUT_LENS[:1], chars, 0.01, GREEDY)
    assert greedy == greedy_search(log_probs[0], chars, 0.01)
    (beam,) = decode_batch(log_probs[:1], OUT_LENS[:1], chars, 0.01, BEAM)
    assert [beam] == beam_search(log_probs[0], chars, 0.01, SearchLimits(6, -5.0))
    assert beam.log_prob > greedy.log_prob
    for change in ({"beam_size": 1}, {"token_min_log_prob": -0.5}):
        (changed,) = decode_batch(
            log_probs[:1], OUT_LENS[:1], chars, 0.01, BEAM.model_copy(update=change)
        )
        assert changed != beam


@pytest.mark.parametrize("settings", [GREEDY, BEAM], ids=["greedy", "beam"])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_damaged_output_is_an_error(
    settings: DecodeSettings, bad: float, log_probs: Tensor, chars: TokenTable
) -> None:
    log_probs[2, 6] = bad
    with pytest.raises(DataError, match="utterance 2 of the batch is not finite"):
        decode_batch(log_probs, OUT_LENS, chars, 0.01, settings)


def test_an_impossible_token_is_no_damage(chars: TokenTable) -> None:
    log_probs = torch.eye(5)[[2, 0, 3]].log()[None]
    for settings in (GREEDY, BEAM):
        assert decode_batch(log_probs, torch.tensor([3]), chars, 0.01, settings)[0].text == "ab"


def test_an_empty_batch_gives_no_hypotheses(chars: TokenTable) -> None:
    assert decode_batch(torch.zeros(0, 4, 5), torch.zeros(0), chars, 0.01, BEAM) == []


def test_threads_change_nothing(log_probs: Tensor, chars: TokenTable) -> None:
    settings = BEAM.model_copy(update={"hotwords": ("ab:2",)})
    one = decode_batch(log_probs, OUT_LENS, chars, 0.01, settings)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        assert decode_batch(log_probs, OUT_LENS, chars, 0.01, settings) == one
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(
    "change",
    [
        {"max_frame_tokens": 1},
        {"beam_threshold": 0.01},
        {"blank_skip_prob": 0.3},
        {"hotwords": ("cab:9",)},
        {"hotwords": ("cab",), "hotword_weight": 9.0},
        {"word_bonus": 3.0},
        {"confidence_temperature": 2.0},
        {"confidence_bias": 0.5},
        {"posterior_temperature": 1.5},
        {"prior_weight": 0.5, "log_priors": (-0.5, -2.0, -2.0, -2.0, -2.0)},
    ],
)
def test_each_setting_acts(change: dict[str, object], log_probs: Tensor, chars: TokenTable) -> None:
    plain = decode_batch(log_probs[:1], OUT_LENS[:1], chars, 0.01, BEAM)
    settings = BEAM.model_copy(update=change)
    assert decode_batch(log_probs[:1], OUT_LENS[:1], chars, 0.01, settings) != plain


def test_a_greedy_search_has_nothing_of_the_beam_search() -> None:
    heeded = {"hotwords": ("cab",), "prior_weight": 0.5, "log_priors": (-0.5,)}
    calibration = {"confidence_temperature": 2.0, "confidence_bias": 1.0}
    tuned = DecodeSettings(method="beam", **heeded, **calibration)
    assert for_greedy_search(tuned) == DecodeSettings(method="greedy")
    own = DecodeSettings(method="greedy", **calibration)
    assert for_greedy_search(own) == own


def test_an_empty_list_of_hotwords_changes_nothing(log_probs: Tensor, chars: TokenTable) -> None:
    plain = decode_batch(log_probs, OUT_LENS, chars, 0.01, BEAM)
    settings = BEAM.model_copy(update={"hotwords": (), "hotword_weight": 9.0})
    assert decode_batch(log_probs, OUT_LENS, chars, 0.01, settings) == plain


def test_the_best_has_the_others_as_alternatives(log_probs: Tensor, chars: TokenTable) -> None:
    (best,) = decode_batch(log_probs[:1], OUT_LENS[:1], chars, 0.01, BEAM, nbest=3)
    assert len(best.alternatives) == 2
    in_order = [best.log_prob, *(each.log_prob for each in best.alternatives)]
    assert in_order == sorted(in_order, reverse=True)
    (alone,) = decode_batch(log_probs[:1], OUT_LENS[:1], chars, 0.01, BEAM)
    assert alone == replace(best, alternatives=())
    assert type(best).from_json(best.to_json()) == best


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": "greedy", "lm": "x.arpa"}, "the greedy search has no use for it"),
        ({"method": "greedy", "hotwords": ("a",)}, "the greedy search has no use for it"),
        ({"vocabulary": "closed"}, "nothing tells the words"),
        ({"word_bonus": 1.5}, "word_bonus = 1.5: .* name a language model, or set it to 0"),
    ],
)
def test_settings_that_would_go_unheeded_are_refused(
    change: dict[str, object], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        check_fusion(BEAM.model_copy(update=change))
