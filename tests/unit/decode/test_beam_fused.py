from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import groupby, product
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from asrkit.data.tokens import TokenTable
from asrkit.decode.beam import beam_search, search_prefixes
from asrkit.decode.beam_fused import fused_beam_search, search_readings
from asrkit.decode.fusion import Fusion, build_fusion, make_fusion, written_words
from asrkit.decode.lexicon import Lexicon
from asrkit.decode.pruning import SearchLimits
from asrkit.errors import DataError
from asrkit.lm.model_file import load_ngram
from asrkit.lm.ngram import NGramModel
from asrkit.settings import DecodeSettings

MakeTable = Callable[[int], TokenTable]

ARPA = """\\data\\
ngram 1=7
ngram 2=6

\\1-grams:
-1.2\t<unk>
-99\t<s>\t-0.4
-0.9\t</s>
-0.6\tab\t-0.3
-0.8\ta\t-0.2
-1.1\tabc\t-0.5
-0.7\tc\t-0.1

\\2-grams:
-0.2\t<s> ab
-0.9\t<s> c
-0.4\ta a
-0.6\ta </s>
-0.5\tab c
-0.3\tc </s>

\\end\\
"""


@pytest.fixture(scope="session")
def lm(tmp_path_factory: pytest.TempPathFactory) -> NGramModel:
    path = tmp_path_factory.mktemp("lm") / "small.arpa"
    path.write_text(ARPA)
    return load_ngram(path)


def random_frames(num_frames: int, vocab_size: int, seed: int) -> NDArray[np.float64]:
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(num_frames, vocab_size, generator=generator, dtype=torch.float64)
    return logits.log_softmax(-1).numpy()


def every_labelling(frames: NDArray[np.float64]) -> dict[tuple[int, ...], float]:
    """Log-probability of each labelling, summed over all its paths."""
    probs: dict[tuple[int, ...], list[float]] = defaultdict(list)
    for path in product(range(frames.shape[1]), repeat=len(frames)):
        labels = tuple(token for token, _ in groupby(path) if token != 0)
        probs[labels].append(math.exp(sum(frames[t, token] for t, token in enumerate(path))))
    return {labels: math.log(math.fsum(each)) for labels, each in probs.items()}


def score_words(
    words: Sequence[str], known: set[str], lm: NGramModel | None, settings: DecodeSettings
) -> float:
    score = settings.word_bonus * len(words)
    if lm is not None:
        score += settings.lm_weight * math.fsum(lm.score_sentence(words).tolist())
        score -= settings.oov_penalty * sum(word not in lm for word in words)
    else:
        score -= settings.oov_penalty * sum(word not in known for word in words)
    for text in settings.hotwords:
        phrase, weight = text.split(":")
        wanted = phrase.split()
        found = sum(list(words[at : at + len(wanted)]) == wanted for at in range(len(words)))
        score += float(weight) * found
    return score


def readings_by_hand(
    labels: tuple[int, ...],
    tokens: TokenTable,
    lexicon: Lexicon,
    is_open: bool,
) -> list[list[str]]:
    """All ways to read a labelling as words; none if it is not made of words."""
    if tokens.unit != "phone":
        words = tokens.decode(labels).split()
        known = {lexicon.words[number] for number, _ in lexicon.spellings}
        return [words] if is_open or known.issuperset(words) else []
    found = [[]] if not labels else []
    for number, letters in lexicon.spellings:
        spelled = tuple(letter + 1 for letter in letters)
        if labels[: len(spelled)] == spelled:
            rest = readings_by_hand(labels[len(spelled) :], tokens, lexicon, is_open)
            found += [[lexicon.words[number], *words] for words in rest]
    return found


def all_by_hand(
    frames: NDArray[np.float64],
    tokens: TokenTable,
    lexicon: Lexicon,
    lm: NGramModel | None,
    settings: DecodeSettings,
) -> list[float]:
    """Scores of all readings of all labellings, best first."""
    known = set(lexicon.words)
    scores = [
        log_prob + score_words(words, known, lm, settings)
        for labels, log_prob in every_labelling(frames).items()
        for words in readings_by_hand(labels, tokens, lexicon, settings.vocabulary == "open")
    ]
    return sorted(scores, reverse=True)


decode_settings = st.builds(
    DecodeSettings,
    method=st.just("beam"),
    vocabulary=st.sampled_from(["open", "closed"]),
    lm_weight=st.sampled_from([0.0, 0.5, 1.7]),
    word_bonus=st.sampled_from([0.0, 1.1, -0.7]),
    oov_penalty=st.sampled_from([0.0, 2.0]),
    hotwords=st.sampled_from([(), ("ab:2",), ("a c:3", "c:1.5"), ("a a:4", "abc:2.5", "a:1")]),
)


@settings(max_examples=60, deadline=None)
@given(num_frames=st.integers(0, 5), seed=st.integers(0, 9999), chosen=decode_settings)
def test_characters_equal_exhaustive_search(
    lm: NGramModel, chars: TokenTable, num_frames: int, seed: int, chosen: DecodeSettings
) -> None:
    frames = random_frames(num_frames, 5, seed)
    lexicon = written_words(lm, chars)
    expected = all_by_hand(frames, chars, lexicon, lm, chosen)
    fusion = build_fusion(chosen, chars, lm, lexicon)
    found = search_readings(frames, fusion, SearchLimits(4000), nbest=5000)
    assert [reading.score for reading in found] == pytest.approx(expected, abs=1e-5)
    # A narrow beam finds nothing better, and the exact cut changes nothing of its own.
    for beam_size in (1, 3, 30):
        narrow = search_readings(frames, fusion, SearchLimits(beam_size))
        if expected and chosen.vocabulary == "open":
            assert narrow[0].score <= expected[0] + 1e-5


@settings(max_examples=40, deadline=None)
@given(num_frames=st.integers(0, 4), seed=st.integers(0, 9999), chosen=decode_settings)
def test_pieces_equal_exhaustive_search(
    lm: NGramModel, pieces: TokenTable, num_frames: int, seed: int, chosen: DecodeSettings
) -> None:
    frames = random_frames(num_frames, len(pieces), seed)
    lexicon = written_words(lm, pieces)
    assert lexicon.words == ("ab", "a", "abc", "c")
    expected = all_by_hand(frames, pieces, lexicon, lm, chosen)
    fusion = build_fusion(chosen, pieces, lm, lexicon)
    found = search_readings(frames, fusion, SearchLimits(8000), nbest=8000)
    assert [reading.score for reading in found] == pytest.approx(expected, abs=1e-5)
    for beam_size in (1, 3, 30):
        narrow = search_readings(frames, fusion, SearchLimits(beam_size))
        if expected and chosen.vocabulary == "open":
            assert narrow[0].score <= expected[0] + 1e-5


@settings(max_examples=40, deadline=None)
@given(
    num_frames=st.integers(1, 30),
    seed=st.integers(0, 9999),
    beam_size=st.integers(1, 20),
    chosen=decode_settings,
)
def test_the_cut_loses_no_pieces(
    lm: NGramModel,
    pieces: TokenTable,
    num_frames: int,
    seed: int,
    beam_size: int,
    chosen: DecodeSettings,
) -> None:
    frames = random_frames(num_frames, len(pieces), seed)
    fusion = build_fusion(chosen, pieces, lm, written_words(lm, pieces))
    assert labellings(frames, fusion, beam_size) == labellings(frames, loosened(fusion), beam_size)


def test_hotwords_and_words_read_of_pieces(tmp_path: Path, pieces: TokenTable) -> None:
    path = tmp_path / "lexicon.txt"
    path.write_text("abb ab b\nC c\n")
    chosen = DecodeSettings(method="beam", lexicon=str(path), hotwords=("abb C:5",))
    fusion = make_fusion(chosen, pieces)
    assert fusion is not None
    for ids, read in [
        ([4, 1, 6, 3], ["abb", "C"]),
        ([2, 6, 6, 4, 7], ["abb", "C"]),
        ([3, 4, 1, 6, 3, 7], ["C", "abb", "cc"]),
    ]:
        path_ids = [token for each in ids for token in (each, 0)]
        certain = torch.full((len(path_ids), len(pieces)), -math.inf)
        certain[torch.arange(len(path_ids)), torch.tensor(path_ids)] = 0.0
        (best,) = fused_beam_search(certain, pieces, 0.5, fusion, SearchLimits(8, -12.0))
        assert [word.word for word in best.words] == read
        assert best.text == " ".join(read)
        assert best.score == pytest.approx(5.0 if read == ["abb", "C"] else 0.0)
        assert [token.token for token in best.tokens] == [pieces.symbols[each] for each in ids]


LEXICON = """x p01
y p02 p01
z p01
yy p02 p01
w p01 p02
"""


@settings(max_examples=40, deadline=None)
@given(num_frames=st.integers(0, 6), seed=st.integers(0, 9999), weight=st.sampled_from([0.0, 1.3]))
def test_a_lexicon_of_phones_equals_exhaustive_search(
    lexicon_file: Path,
    lm: NGramModel,
    phone_table: MakeTable,
    num_frames: int,
    seed: int,
    weight: float,
) -> None:
    tokens = phone_table(3)
    frames = random_frames(num_frames, 3, seed)
    lexicon = Lexicon.read(lexicon_file, tokens)
    chosen = DecodeSettings(
        method="beam",
        vocabulary="closed",
        lm_weight=weight,
        word_bonus=0.3,
        hotwords=("w w:2", "w:1"),
    )
    expected = all_by_hand(frames, tokens, lexicon, lm, chosen)
    fusion = build_fusion(chosen, tokens, lm, lexicon)
    found = search_readings(frames, fusion, SearchLimits(4000), nbest=5000)
    assert [reading.score for reading in found] == pytest.approx(expected, abs=1e-5)


@pytest.fixture(scope="session")
def lexicon_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("lexicon") / "lexicon.txt"
    path.write_text(LEXICON)
    return path


def labellings(
    frames: NDArray[np.float64], fusion: Fusion, beam_size: int, beam_threshold: float = 0.0
) -> list[tuple[list[int], float]]:
    try:
        found = search_readings(
            frames,
            fusion,
            SearchLimits(beam_size, beam_threshold=beam_threshold),
            nbest=beam_size,
        )
    except DataError:
        return []
    return [(reading.labels.tolist(), reading.score) for reading in found]


def loosened(fusion: Fusion) -> Fusion:
    """Let the search believe that every token could add e^40, so that it cuts hardly anything."""
    gain = fusion.arrays.hot_gain + 40.0
    return Fusion(
        fusion.arrays._replace(hot_gain=gain), fusion.lexicon, fusion.reads_words, fusion.has_lm
    )


@settings(max_examples=60, deadline=None)
@given(
    num_frames=st.integers(1, 40),
    seed=st.integers(0, 9999),
    beam_size=st.integers(1, 20),
    beam_threshold=st.sampled_from([0.0, 0.5, 2.0, 6.0]),
    chosen=decode_settings,
)
def test_the_cut_loses_nothing(
    lm: NGramModel,
    chars: TokenTable,
    num_frames: int,
    seed: int,
    beam_size: int,
    beam_threshold: float,
    chosen: DecodeSettings,
) -> None:
    frames = random_frames(num_frames, 5, seed)
    fusion = build_fusion(chosen, chars, lm, written_words(lm, chars))
    loose = labellings(frames, loosened(fusion), beam_size, beam_threshold)
    assert labellings(frames, fusion, beam_size, beam_threshold) == loose


@settings(max_examples=40, deadline=None)
@given(
    num_frames=st.integers(0, 30),
    seed=st.integers(0, 9999),
    beam_size=st.integers(1, 20),
    beam_threshold=st.sampled_from([0.0, 0.1, 1.0, 4.0]),
)
def test_a_weight_of_0_is_no_language_model(
    lm: NGramModel,
    chars: TokenTable,
    num_frames: int,
    seed: int,
    beam_size: int,
    beam_threshold: float,
) -> None:
    frames = random_frames(num_frames, 5, seed)
    chosen = DecodeSettings(method="beam", lm_weight=0.0)
    fusion = build_fusion(chosen, chars, lm, written_words(lm, chars))
    limits = SearchLimits(beam_size, -12.0, beam_threshold=beam_threshold)
    found = search_readings(frames, fusion, limits, nbest=beam_size)
    without = search_prefixes(frames, limits, nbest=beam_size)
    assert [each.labels.tolist() for each in found] == [labels.tolist() for labels, _ in without]
    assert [each.log_prob for each in found] == pytest.approx([p for _, p in without], abs=1e-9)
    assert [each.score for each in found] == [each.log_prob for each in found]


def test_the_language_model_decides_between_words_that_sound_alike(
    lm: NGramModel, chars: TokenTable
) -> None:
    peaks = [[0.02, 0.01, 0.95, 0.01, 0.01], [0.52, 0.01, 0.01, 0.45, 0.01]]
    log_probs = torch.tensor(peaks).log()
    assert beam_search(log_probs, chars, 0.01, SearchLimits(8, -12.0))[0].text == "a"
    fusion = build_fusion(
        DecodeSettings(method="beam", lm_weight=1.0), chars, lm, written_words(lm, chars)
    )
    (best,) = fused_beam_search(log_probs, chars, 0.01, fusion, SearchLimits(8, -12.0))
    assert best.text == "ab"
    assert best.lm_log_prob == pytest.approx(float(lm.score_sentence(["ab"]).sum()), abs=1e-5)
    assert best.score == pytest.approx(best.log_prob + best.lm_log_prob, abs=1e-5)


def test_words_of_a_phone_lexicon_are_the_words_read(
    lexicon_file: Path, phone_table: MakeTable
) -> None:
    tokens = phone_table(3)
    certain = torch.tensor([[0.02, 0.96, 0.02], [0.02, 0.02, 0.96], [0.02, 0.96, 0.02]]).log()
    chosen = DecodeSettings(method="beam", lexicon=str(lexicon_file), vocabulary="closed")
    fusion = make_fusion(chosen, tokens)
    assert fusion is not None
    found = fused_beam_search(certain, tokens, 0.5, fusion, SearchLimits(50, -12.0), nbest=6)
    by_text = {each.text: each for each in found}
    assert set(by_text) == {"x y", "x yy", "z y", "z yy", "w x", "w z"}
    assert [(word.word, word.start_s, word.end_s) for word in by_text["x yy"].words] == [
        ("x", 0.0, 0.5),
        ("yy", 0.5, 1.5),
    ]
    for each in found:
        assert type(each).from_json(each.to_json()) == each


def test_phones_of_an_unfinished_word_are_no_word(phone_table: MakeTable, tmp_path: Path) -> None:
    tokens = phone_table(3)
    path = tmp_path / "lexicon.txt"
    path.write_text("long p01 p01 p01\nx p02\n")
    chosen = DecodeSettings(method="beam", lexicon=str(path), vocabulary="closed")
    fusion = make_fusion(chosen, tokens)
    assert fusion is not None
    begun = torch.tensor([[0.01, 0.01, 0.98], [0.01, 0.98, 0.01]]).log()
    (best,) = fused_beam_search(begun, tokens, 0.5, fusion, SearchLimits(1, -12.0))
    assert [token.token for token in best.tokens] == ["p02", "p01"]
    assert (best.text, [word.word for word in best.words]) == ("x", ["x"])
    (nothing,) = fused_beam_search(begun[1:], tokens, 0.5, fusion, SearchLimits(1, -12.0))
    assert (nothing.text, nothing.words) == ("", ())
    assert type(best).from_json(best.to_json()) == best


def test_a_closed_vocabulary_keeps_an_unfinished_word_only_if_nothing_else_is_left(
    lm: NGramModel, chars: TokenTable
) -> None:
    chosen = DecodeSettings(method="beam", vocabulary="closed", lm_weight=0.5)
    fusion = build_fusion(chosen, chars, lm, written_words(lm, chars))
    almost = torch.tensor([[0.01, 0.01, 0.96, 0.01, 0.01], [0.01, 0.01, 0.01, 0.01, 0.96]]).log()
    (best,) = fused_beam_search(almost, chars, 0.01, fusion, SearchLimits(50, -12.0))
    assert best.text in {"a", "c", "ab"}
    abc = torch.tensor([[0.0, 0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0, 0.0]]).log()
    assert fused_beam_search(abc, chars, 0.01, fusion, SearchLimits(50, -12.0))[0].text == "ab"


@pytest.mark.parametrize("hotwords", [("ab",), ("ab:9",), ("c ab:9",)])
def test_hotwords_change_what_is_heard_and_none_change_nothing(
    hotwords: tuple[str, ...], chars: TokenTable
) -> None:
    # A "c", then a "b" that is not quite heard after "a".
    said = [
        [0.04, 0.9, 0.02, 0.02, 0.02],
        [0.04, 0.02, 0.9, 0.02, 0.02],
        [0.8, 0.04, 0.04, 0.1, 0.02],
    ]
    log_probs = torch.tensor([[0.04, 0.02, 0.02, 0.02, 0.9], *said]).log()
    plain = beam_search(log_probs, chars, 0.01, SearchLimits(8, -12.0), nbest=8)
    assert plain[0].text == "c a"
    assert make_fusion(DecodeSettings(method="beam", hotwords=()), chars) is None
    fusion = make_fusion(DecodeSettings(method="beam", hotwords=hotwords), chars)
    assert fusion is not None
    assert (
        fused_beam_search(log_probs, chars, 0.01, fusion, SearchLimits(8, -12.0))[0].text == "c ab"
    )
    weightless = make_fusion(DecodeSettings(method="beam", hotwords=("ab:0",)), chars)
    assert weightless is None


def test_a_hotword_is_a_whole_word(chars: TokenTable) -> None:
    fusion = make_fusion(DecodeSettings(method="beam", hotwords=("ab:5",)), chars)
    assert fusion is not None
    for text, bonus in [("ab", 5.0), ("ab ab", 10.0), ("abc", 0.0), ("cab", 0.0), ("c ab a", 5.0)]:
        ids = [token for each in chars.encode(text) for token in (each, 0)]
        certain = torch.full((len(ids), 5), -math.inf)
        certain[torch.arange(len(ids)), torch.tensor(ids)] = 0.0
        (best,) = fused_beam_search(certain, chars, 0.01, fusion, SearchLimits(8, -12.0))
        assert (best.text, best.score) == (text, pytest.approx(bonus))


def test_impossible_tokens_and_no_frames(lm: NGramModel, chars: TokenTable) -> None:
    fusion = build_fusion(DecodeSettings(method="beam"), chars, lm, written_words(lm, chars))
    (nothing,) = fused_beam_search(torch.zeros(0, 5), chars, 0.01, fusion, SearchLimits(8, -12.0))
    assert (nothing.text, nothing.log_prob) == ("", 0.0)
    (certain,) = fused_beam_search(
        torch.eye(5)[[2, 0, 3]].log(), chars, 0.01, fusion, SearchLimits(8, -12.0)
    )
    assert certain.text == "ab"
    with pytest.raises(DataError, match="not finite"):
        fused_beam_search(torch.full((3, 5), math.nan), chars, 0.01, fusion, SearchLimits(4, -12.0))
