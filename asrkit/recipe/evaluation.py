"""Measure a model on the dev set while it trains, and decode whole splits afterwards."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from asrkit.data.audio_cache import AudioCache
from asrkit.data.dataset import Batch
from asrkit.data.manifest import Utterance
from asrkit.data.tokens import TokenTable
from asrkit.decode.fusion_settings import check_fusion
from asrkit.features.padding import valid_positions
from asrkit.files import write_atomically
from asrkit.inference import load_by_length, recognize, search
from asrkit.nn.model import AcousticModel
from asrkit.progress import CountProgress
from asrkit.score.alignment import align
from asrkit.score.alternation import read_reference
from asrkit.score.counts import ErrorCounts
from asrkit.score.protocol import load_protocol
from asrkit.settings import DecodeSettings, Settings
from asrkit.train.dev_result import DevResult, Evaluate
from asrkit.train.objective import Measured, make_objective, next_labels

_DEV_BEAM_SIZE = 4

Measure = Callable[[AcousticModel], Iterator[tuple[Batch, Measured]]]


def make_evaluation(
    utterances: Sequence[Utterance], tokens: TokenTable, settings: Settings
) -> Evaluate:
    """Return a function that measures a model on these utterances.

    It gives the loss, and the error rate and the emission of a fast search; of a network that
    predicts labels from labels, the share of wrong predictions.
    """
    cache = AudioCache(settings.data.sample_rate_hz)

    def measure(model: AcousticModel) -> Iterator[tuple[Batch, Measured]]:
        device, objective = next(model.parameters()).device, make_objective(model)
        for loaded in load_by_length(utterances, tokens, cache, settings.data.max_batch_s):
            batch = loaded.to(device)
            features = partial(model.features, batch.waves, batch.wave_lens, batch.speakers)
            yield batch, objective.measure(batch, features)

    if settings.model.kind == "next_label":
        return _next_label_evaluation(measure, len(utterances))
    fast = _fast_search(settings)
    protocol = load_protocol(settings.score.protocol)
    references = {
        utterance.utt_id: read_reference(
            utterance.text, protocol, settings.score.unit, utterance.utt_id
        )
        for utterance in utterances
    }

    def evaluate(model: AcousticModel) -> DevResult:
        loss, num_labels = 0.0, 0
        emitted: Counter[str] = Counter()
        counts = ErrorCounts()
        for batch, measured in measure(model):
            loss += measured.nll.sum().item()
            hypotheses = search(model, measured.outputs, measured.out_lens, tokens, fast)
            emitted.update(token.token for each in hypotheses for token in each.tokens)
            num_labels += int(batch.label_lens.sum())
            for utt_id, hypothesis in zip(batch.utt_ids, hypotheses, strict=True):
                recognized = protocol.apply(hypothesis.text, settings.score.unit, utt_id)
                edits = align(references[utt_id], recognized, rule=protocol.alignment)
                counts += ErrorCounts.from_edits(edits)
        num_emitted = emitted.total()
        return DevResult(
            loss / len(utterances),
            counts.error_rate,
            num_emitted / max(1, num_labels),
            max(emitted.values(), default=0) / max(1, num_emitted),
        )

    return evaluate


def _fast_search(settings: Settings) -> DecodeSettings:
    """Search greedily; but a transducer with a narrow beam, if it is to be decoded with one.

    Where it spreads a label over many frames, in each of which a blank is likelier, the best path
    has no label at all: its greedy errors are mostly deletions that no beam makes.
    """
    decode = settings.decode
    if settings.model.kind == "transducer" and decode.method == "beam":
        return decode.model_copy(update={"beam_size": min(decode.beam_size, _DEV_BEAM_SIZE)})
    return decode.model_copy(update={"method": "greedy"})


def _next_label_evaluation(measure: Measure, num_utterances: int) -> Evaluate:
    def evaluate(model: AcousticModel) -> DevResult:
        loss, num_wrong, num_predictions = 0.0, 0, 0
        for batch, measured in measure(model):
            loss += measured.nll.sum().item()
            targets, num_targets = next_labels(batch)
            valid = valid_positions(num_targets, targets.shape[1])
            num_wrong += int((valid & (measured.outputs.argmax(dim=-1) != targets)).sum())
            num_predictions += int(num_targets.sum())
        # It predicts exactly one label for each.
        return DevResult(loss / num_utterances, num_wrong / num_predictions, emission_rate=1.0)

    return evaluate


def decode_split(
    path: Path,
    model: AcousticModel,
    utterances: Sequence[Utterance],
    tokens: TokenTable,
    settings: Settings,
) -> None:
    """Write one hypothesis a line, in the order of the utterances, as JSON with its `utt_id`.

    Raises
    ------
    UsageError
        If settings of `[decode]` do not go together.
    """
    check_fusion(settings.decode)
    lines: dict[str, str] = {}
    with CountProgress(f"decoding {path.stem}", len(utterances)) as progress:
        cache = AudioCache(model.sample_rate_hz, max_bytes=0)
        for batch in load_by_length(utterances, None, cache, settings.data.max_batch_s):
            hypotheses = recognize(model, batch, tokens, settings.decode)
            for utt_id, hypothesis in zip(batch.utt_ids, hypotheses, strict=True):
                content = {"utt_id": utt_id, **hypothesis.to_json()}
                lines[utt_id] = json.dumps(content, ensure_ascii=False) + "\n"
            progress.advance(len(batch.utt_ids))
    write_atomically(path, "".join(lines[u.utt_id] for u in utterances).encode())
