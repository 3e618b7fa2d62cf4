from __future__ import annotations

import pytest
import torch

from asrkit.data.tokens import TokenTable
from asrkit.decode.fusion_settings import check_fusion
from asrkit.decode.likelihood import measure_log_priors, scaled_likelihoods
from asrkit.decode.search import decode_batch
from asrkit.errors import UsageError
from asrkit.settings import DecodeSettings

POSTERIORS = torch.tensor([[0.7, 0.2, 0.1], [0.25, 0.25, 0.5]])


def test_posteriors_are_divided_by_powers_of_priors() -> None:
    priors = torch.tensor([0.8, 0.15, 0.05])
    settings = DecodeSettings(prior_weight=0.5, log_priors=tuple(priors.log().tolist()))
    expected = POSTERIORS / priors**0.5
    found = scaled_likelihoods(POSTERIORS.log(), settings).exp()
    torch.testing.assert_close(found, expected / expected.sum(dim=1, keepdim=True))


def test_a_temperature_above_1_makes_less_sure() -> None:
    found = scaled_likelihoods(POSTERIORS.log(), DecodeSettings(posterior_temperature=2.0)).exp()
    expected = POSTERIORS.sqrt()
    torch.testing.assert_close(found, expected / expected.sum(dim=1, keepdim=True))
    assert found[0, 0] < 0.7


def test_the_defaults_change_no_byte() -> None:
    log_probs = POSTERIORS.log()
    assert scaled_likelihoods(log_probs, DecodeSettings()) is log_probs


def test_an_impossible_symbol_stays_impossible() -> None:
    settings = DecodeSettings(
        posterior_temperature=1.5, prior_weight=1.0, log_priors=(-0.1, -5.0, -9.0)
    )
    found = scaled_likelihoods(torch.tensor([[0.5, 0.5, 0.0]]).log(), settings)
    assert found[0, 2] == -torch.inf
    assert found[0, :2].isfinite().all()


def test_priors_are_mean_posteriors_with_a_frame_more_for_each_symbol() -> None:
    utterances = [POSTERIORS[:1].log(), POSTERIORS[1:].log()]
    priors = torch.tensor(measure_log_priors(utterances)).exp()
    torch.testing.assert_close(priors, torch.tensor([1.95, 1.45, 1.6]) / 5, atol=1e-4, rtol=0)


def test_priors_bring_out_what_the_blank_hides() -> None:
    table = TokenTable.from_texts(["ab"], "char")
    log_probs = torch.tensor([[[0.6, 0.4, 0.0], [0.9, 0.0, 0.1]]]).log()
    plain = DecodeSettings(method="beam", beam_size=4)
    fairer = plain.model_copy(update={"prior_weight": 1.0, "log_priors": (-0.1, -2.0, -2.0)})
    lens = torch.tensor([2])
    assert decode_batch(log_probs, lens, table, 0.01, plain)[0].text == ""
    assert decode_batch(log_probs, lens, table, 0.01, fairer)[0].text == "a"


def test_priors_of_another_table_are_refused() -> None:
    settings = DecodeSettings(prior_weight=0.5, log_priors=(-0.1, -5.0))
    with pytest.raises(UsageError, match=r"has 2 numbers, but 3 symbols are read; .* asrkit tune"):
        scaled_likelihoods(POSTERIORS.log(), settings)


def test_a_weight_needs_priors() -> None:
    settings = DecodeSettings(method="beam", prior_weight=0.5)
    with pytest.raises(UsageError, match=r"prior_weight = 0\.5: there are no decode\.log_priors"):
        check_fusion(settings)
