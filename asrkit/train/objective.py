"""What a network is trained for, one object a kind; the loop does not tell them apart."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn import functional as F

from asrkit.ctc.crf import ctc_crf_excess
from asrkit.ctc.diagnosis import measure_emission
from asrkit.ctc.feasibility import check_feasible, frames_needed
from asrkit.ctc.loss import ctc_nll
from asrkit.data.dataset import Batch
from asrkit.data.manifest import Utterance
from asrkit.data.pronunciation import Pronunciations
from asrkit.data.tokens import TokenTable
from asrkit.errors import DivergenceError, FeasibilityError
from asrkit.features.padding import valid_positions
from asrkit.nn.model import AcousticModel
from asrkit.nn.network import CtcNetwork
from asrkit.nn.transducer import NextLabelNetwork, TransducerNetwork
from asrkit.settings import TrainSettings
from asrkit.train.transducer_loss import transducer_nll
from asrkit.train.trigram import estimate_phone_trigram

Features: TypeAlias = Callable[[], tuple[Tensor, Tensor]]
"""Computes features (N, T, F) and their (N,) lengths, if they are needed."""


@dataclass(frozen=True)
class Measured:
    """What a network makes of a batch.

    Attributes
    ----------
    nll
        Nats of each utterance, (N,).
    outputs, out_lens
        Of the network, as a search takes them.
    loss
        What training minimises, (N,); `nll`, where there is no other term.
    intermediate_nll
        Nats of each utterance by what is read off intermediate layers, their mean, (N,).
    phone_nll
        Nats of the phones of those utterances whose phones are known.
    phone_crf_nll
        The same among all sequences of phones.
    """

    nll: Tensor
    outputs: Tensor
    out_lens: Tensor
    loss: Tensor
    intermediate_nll: Tensor | None = None
    phone_nll: Tensor | None = None
    phone_crf_nll: Tensor | None = None


class Objective(ABC):
    """How the loss of a network is computed, and what it asks of an utterance."""

    @abstractmethod
    def measure(self, batch: Batch, features: Features) -> Measured:
        """Compute the loss of each utterance of a batch."""

    @abstractmethod
    def frames_needed(self, labels: Sequence[int]) -> int:
        """Fewest frames in which the network can emit labels."""

    @abstractmethod
    def check(self, items: Iterable[tuple[str, Sequence[int], int]]) -> None:
        """Refuse utterances whose loss would be infinite.

        Parameters
        ----------
        items : iterable of (utt_id, labels, num_frames)
            `num_frames` is what the model yields, after subsampling and at the fastest speed.

        Raises
        ------
        FeasibilityError
        """

    def statistics(self, measured: Measured, batch: Batch) -> dict[str, float]:
        """Give figures of a training batch for the metrics besides its loss, if there are any."""
        del measured, batch
        return {}


class CtcObjective(Objective):
    """Connectionist temporal classification, of the last layer and perhaps of others.

    With intermediate layers, (1 - w) nll + w mean(nll of each of these) is minimised: Lee &
    Watanabe, Intermediate Loss Regularization for CTC-based Speech Recognition, ICASSP 2021. All
    are read by the one output layer, so they add no weights. Of what this gives and the nll of the
    phones, weights (1 - p) and p are taken: Fernández, Graves & Schmidhuber, Sequence Labelling in
    Structured Domains with Hierarchical Recurrent Neural Networks, IJCAI 2007, train a level of
    such a hierarchy for each kind of label. Where an utterance's phones are not known or do not fit
    into its frames, it has its other loss alone. The phones' loss is (1 - c) nll + c crf, where crf
    is that of `asrkit.ctc.crf`, if there is a trigram model of phones.

    Parameters
    ----------
    network
        To be trained.
    intermediate_layers
        Counted from 1; none for plain CTC.
    intermediate_weight
        w.
    phone_weight
        p.
    phone_crf_weight
        c.
    phone_trigram
        (P, P, P), on the network's device.
    """

    def __init__(
        self,
        network: CtcNetwork,
        intermediate_layers: Sequence[int] = (),
        intermediate_weight: float = 0.0,
        phone_weight: float = 0.0,
        phone_crf_weight: float = 0.0,
        phone_trigram: Tensor | None = None,
    ) -> None:
        self.network = network
        self.intermediate_layers = intermediate_layers
        self.intermediate_weight = intermediate_weight
        self.phone_weight = phone_weight
        self.phone_crf_weight = phone_crf_weight
        self.phone_trigram = phone_trigram

    def measure(self, batch: Batch, features: Features) -> Measured:
        """Sum over all alignments of the labels to the frames."""
        readings = self.network.read_all(*features(), self.intermediate_layers)
        out_lens = readings.out_lens
        nll, *others = (
            ctc_nll(log_probs, out_lens, batch.labels, batch.label_lens)
            for log_probs in (readings.tokens, *readings.intermediate)
        )
        loss, intermediate, phones, phones_crf = nll, None, None, None
        if others:
            intermediate = torch.stack(others).mean(dim=0)
            loss = torch.lerp(nll, intermediate, self.intermediate_weight)
        if readings.phones is not None and self.phone_weight:
            labelling = (readings.phones, out_lens, batch.phones, batch.phone_lens)
            each = ctc_nll(*labelling, impossible_is_zero=True)
            is_known = (batch.phone_lens > 0) & (each > 0)
            phones = each[is_known]
            if self.phone_trigram is not None:
                crf = each + ctc_crf_excess(*labelling, self.phone_trigram)
                each = torch.lerp(each, crf, self.phone_crf_weight)
                phones_crf = crf[is_known]
            loss = torch.where(is_known, torch.lerp(loss, each, self.phone_weight), loss)
        return Measured(nll, readings.tokens, out_lens, loss, intermediate, phones, phones_crf)

    def frames_needed(self, labels: Sequence[int]) -> int:
        """One a label, and a blank between equals."""
        return frames_needed(labels)

    def check(self, items: Iterable[tuple[str, Sequence[int], int]]) -> None:
        """Each label needs a frame, and equal neighbours one between them."""
        check_feasible(items)

    def statistics(self, measured: Measured, batch: Batch) -> dict[str, float]:
        """How much the network emits, and how well the intermediate layers do."""
        emission = measure_emission(measured.outputs, measured.out_lens, batch.label_lens)
        figures = {"blank_share": emission.blank_share, "emission_rate": emission.emission_rate}
        if measured.intermediate_nll is not None:
            figures["intermediate_loss"] = measured.intermediate_nll.mean().item()
        if measured.phone_nll is not None and len(measured.phone_nll):
            figures["phone_loss"] = measured.phone_nll.mean().item()
        if measured.phone_crf_nll is not None and len(measured.phone_crf_nll):
            figures["phone_crf_loss"] = measured.phone_crf_nll.mean().item()
        return figures


class TransducerObjective(Objective):
    """The transducer. How much it emits is known from a search only, so after an epoch."""

    def __init__(self, network: TransducerNetwork) -> None:
        self.network = network

    def measure(self, batch: Batch, features: Features) -> Measured:
        """Sum over all paths through the lattice of frames and labels."""
        from_frames, out_lens = self.network(*features())
        nll = transducer_nll(
            self.network.joint,
            from_frames,
            out_lens,
            self.network.hear_labels(batch.labels),
            batch.labels,
            batch.label_lens,
        )
        return Measured(nll, from_frames, out_lens, loss=nll)

    def frames_needed(self, labels: Sequence[int]) -> int:
        """One, in which it can emit them all."""
        del labels
        return 1

    def check(self, items: Iterable[tuple[str, Sequence[int], int]]) -> None:
        """Any number of labels fits into one frame, but there must be one."""
        empty = [utt_id for utt_id, _, num_frames in items if num_frames == 0]
        if empty:
            raise FeasibilityError(
                f"utterances too short for a single frame: {', '.join(empty[:10])}"
                f"{f' and {len(empty) - 10} more' if len(empty) > 10 else ''}; leave them out of "
                "the manifest"
            )


class NextLabelObjective(Objective):
    """Next-label prediction, on transcripts alone: the audio is not listened to."""

    def __init__(self, network: NextLabelNetwork) -> None:
        self.network = network

    def measure(self, batch: Batch, features: Features) -> Measured:
        """Sum over a transcript's labels and its end, (N, L + 1, V) outputs."""
        del features
        log_probs = self.network(batch.labels)
        targets, num_targets = next_labels(batch)
        nll = F.nll_loss(log_probs.transpose(1, 2), targets, reduction="none")
        valid = valid_positions(num_targets, nll.shape[1])
        nll = (nll * valid).sum(dim=1)
        return Measured(nll, log_probs, num_targets, loss=nll)

    def frames_needed(self, labels: Sequence[int]) -> int:
        """None: it does not listen."""
        del labels
        return 0

    def check(self, items: Iterable[tuple[str, Sequence[int], int]]) -> None:
        """Every transcript can be predicted."""


def next_labels(batch: Batch) -> tuple[Tensor, Tensor]:
    """Give what follows each beginning of the transcripts, (N, L + 1), and their numbers, (N,).

    After the last label comes the end, which has the blank's id.
    """
    return F.pad(batch.labels, (0, 1), value=TokenTable.blank_id), batch.label_lens + 1


def hardest_of(nll: Tensor, batch: Batch) -> tuple[float, str]:
    """Find the utterance of a batch with the largest loss; give its nats a label, and its id.

    A long utterance has a large loss because it is long, hence a label.
    """
    each = nll.detach() / batch.label_lens.clamp(min=1)
    hardest = int(each.argmax())
    return float(each[hardest]), batch.utt_ids[hardest]


def check_finite(nll: Tensor, utt_ids: Sequence[str], step: int) -> None:
    """Raise DivergenceError, naming them, if the loss (N,) of any utterance is not finite."""
    infinite = (~torch.isfinite(nll)).nonzero().flatten().tolist()
    if infinite:
        culprits = ", ".join(f"{utt_ids[i]} (loss {nll[i].item()})" for i in infinite)
        raise DivergenceError(
            f"step {step}: the loss is not finite for {culprits}; listen to them, check their "
            "transcripts, or lower train.learning_rate",
            step,
            [utt_ids[i] for i in infinite],
        )


def make_objective(
    model: AcousticModel,
    intermediate_layers: Sequence[int] = (),
    intermediate_weight: float = 0.0,
    phone_weight: float = 0.0,
    phone_crf_weight: float = 0.0,
    phone_trigram: Tensor | None = None,
) -> Objective:
    """Build the objective of a model's network; all but the model is for CTC only."""
    match model.network:
        case CtcNetwork() as network:
            return CtcObjective(
                network,
                intermediate_layers,
                intermediate_weight,
                phone_weight,
                phone_crf_weight,
                phone_trigram,
            )
        case TransducerNetwork() as network:
            return TransducerObjective(network)
        case NextLabelNetwork() as network:
            return NextLabelObjective(network)


def make_training_objective(
    model: AcousticModel,
    settings: TrainSettings,
    utterances: Iterable[Utterance],
    pronunciations: Pronunciations | None,
) -> Objective:
    """Build the objective that a recipe asks for, with what it needs to know of a training set."""
    trigram = None
    if pronunciations and settings.phone_crf_weight:
        trigram = estimate_phone_trigram(utterances, pronunciations)
        trigram = trigram.to(next(model.parameters()).device)
    return make_objective(
        model,
        settings.intermediate_layers,
        settings.intermediate_weight,
        settings.phone_weight,
        settings.phone_crf_weight,
        trigram,
    )
