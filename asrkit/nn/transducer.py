"""The transducer: an encoder of speech and a network that predicts labels, joined at every point.

With h_t the encoder's output, p_u the prediction network's after u labels, and k a token or blank:

    l_t = W_hl h_t + b_l                          h_{t,u} = tanh(W_lh l_t + W_ph p_u + b_h)
    y_{t,u} = W_hy h_{t,u} + b_y                  Pr(k | t, u) = softmax(y_{t,u})_k

Graves, Mohamed & Hinton, Speech Recognition with Deep Recurrent Neural Networks, ICASSP 2013,
section 3.2; the lattice of all (t, u) is that of Graves, Sequence Transduction with Recurrent
Neural Networks, 2012.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from asrkit.nn.cells.cell import State
from asrkit.nn.cells.family import make_cell
from asrkit.nn.dropout import Dropout
from asrkit.nn.encoder import RecurrentEncoder
from asrkit.nn.initialization import initialize_outside_cells
from asrkit.settings import ModelSettings


class PredictionNetwork(nn.Module):
    """One recurrent layer over the labels emitted so far, from left to right.

    A label is a one-hot vector of V - 1 values; before the first label the input is zero.

    Parameters
    ----------
    settings
        `cell`, `prediction_size`, and what all cells take.
    vocab_size
        V, the blank included.
    """

    def __init__(self, settings: ModelSettings, vocab_size: int) -> None:
        super().__init__()
        self.vocab_size = vocab_size
        sized = settings.model_copy(update={"hidden_size": settings.prediction_size})
        self.cell = make_cell(sized, vocab_size - 1, num_directions=1)
        self.dropout = Dropout(settings.dropout, settings.dropout_per)
        self.output_size = self.cell.output_size

    def forward(self, labels: Tensor) -> Tensor:
        """Map (N, L) labels to (N, L + 1, P): what is known before each label and after the last.

        Padding after an utterance's labels changes nothing of what stands before it.
        """
        inputs = F.pad(self._one_hot(labels), (0, 0, 1, 0))
        (outputs,), _ = self.cell([inputs.transpose(0, 1)])
        predictions: Tensor = self.dropout(outputs)
        return predictions.transpose(0, 1)

    def begin(self) -> tuple[Tensor, State]:
        """Give the output before any label, (1, P), and the state, in rows."""
        return self._step(self.cell.bias.new_zeros(1, self.vocab_size - 1), None)

    def extend(self, state: State, labels: Tensor) -> tuple[Tensor, State]:
        """Give the same for K hypotheses after one more label each, (K,) int64."""
        return self._step(self._one_hot(labels), tuple(rows[None] for rows in state))

    def _step(self, inputs: Tensor, state: State | None) -> tuple[Tensor, State]:
        (outputs,), state = self.cell([inputs[None]], state)
        return outputs[0], tuple(each[0] for each in state)

    def _one_hot(self, labels: Tensor) -> Tensor:
        """(...) labels to (..., V - 1); zeros for 0, which pads."""
        return F.one_hot(labels, self.vocab_size)[..., 1:].to(self.cell.bias.dtype)


class Joint(nn.Module):
    """What comes next, from a frame and the labels so far; the equations are above.

    Parameters
    ----------
    encoder_size, prediction_size
        Widths of h_t and p_u.
    joint_size
        J, of both l_t and h_{t,u}.
    vocab_size
        V, the blank included.
    """

    def __init__(
        self, encoder_size: int, prediction_size: int, joint_size: int, vocab_size: int
    ) -> None:
        super().__init__()
        self.projection = nn.Linear(encoder_size, joint_size)
        self.acoustic = nn.Linear(joint_size, joint_size)
        self.linguistic = nn.Linear(prediction_size, joint_size, bias=False)
        self.output = nn.Linear(joint_size, vocab_size)

    def hear_frames(self, frames: Tensor) -> Tensor:
        """W_lh (W_hl h_t + b_l) + b_h: the part of a point that its frame decides, (..., J)."""
        heard: Tensor = self.acoustic(self.projection(frames))
        return heard

    def hear_labels(self, predictions: Tensor) -> Tensor:
        """W_ph p_u: the part of a point that the labels so far decide, (..., J)."""
        heard: Tensor = self.linguistic(predictions)
        return heard

    def forward(self, from_frames: Tensor, from_labels: Tensor) -> Tensor:
        """Log-probabilities (..., V) in float32 or better, of two parts that broadcast."""
        scores = self.output(torch.tanh(from_frames + from_labels))
        return F.log_softmax(scores.to(torch.promote_types(scores.dtype, torch.float32)), dim=-1)


class TransducerNetwork(nn.Module):
    """Encoder, prediction network and joint layer.

    It is an `asrkit.decode.transducer.Transducer`: searches go through its lattice point by point.

    Parameters
    ----------
    settings
        Those of the encoder, and `prediction_size` and `joint_size`.
    num_features
        F of the input.
    vocab_size
        V, the blank included.
    """

    def __init__(self, settings: ModelSettings, num_features: int, vocab_size: int) -> None:
        super().__init__()
        self.encoder = RecurrentEncoder(settings, num_features)
        self.prediction = PredictionNetwork(settings, vocab_size)
        self.joint = Joint(
            self.encoder.output_size, self.prediction.output_size, settings.joint_size, vocab_size
        )
        initialize_outside_cells(self, settings)

    def out_lens(self, feat_lens: Tensor) -> Tensor:
        """Output frames of each utterance, (N,) int64."""
        return self.encoder.out_lens(feat_lens)

    def forward(self, feats: Tensor, feat_lens: Tensor) -> tuple[Tensor, Tensor]:
        """Compute what the joint layer hears from each frame.

        Parameters
        ----------
        feats
            (N, T, F) float32, zero beyond `feat_lens`.
        feat_lens
            (N,) int64.

        Returns
        -------
        from_frames
            (N, T', J); frames beyond `out_lens` mean nothing.
        out_lens
            (N,) int64.
        """
        frames, out_lens = self.encoder(feats, feat_lens)
        return self.joint.hear_frames(frames).transpose(0, 1), out_lens

    def hear_labels(self, labels: Tensor) -> Tensor:
        """Compute what the joint layer hears from (N, L) labels: (N, L + 1, J)."""
        return self.joint.hear_labels(self.prediction(labels))

    def begin(self) -> tuple[Tensor, State]:
        """Give what the joint layer hears before any label, (1, J), and the state, in rows."""
        prediction, state = self.prediction.begin()
        return self.joint.hear_labels(prediction), state

    def extend(self, state: State, labels: Tensor) -> tuple[Tensor, State]:
        """Give the same for K hypotheses after one more label each, (K,) int64."""
        predictions, state = self.prediction.extend(state, labels)
        return self.joint.hear_labels(predictions), state

    def join(self, frames: Tensor, heard: Tensor) -> Tensor:
        """Log-probabilities (..., V) from what was heard of frames and of labels, (..., J) each."""
        log_probs: Tensor = self.joint(frames, heard)
        return log_probs


class NextLabelNetwork(nn.Module):
    """A prediction network alone, which says what label follows those before.

    A transducer may start from its weights. Their names are those of the transducer's own
    prediction network; the output layer is left behind (Graves, Mohamed & Hinton 2013, section
    3.2). The end of a transcript, which no label follows, has the place of the blank.
    """

    def __init__(self, settings: ModelSettings, vocab_size: int) -> None:
        super().__init__()
        self.prediction = PredictionNetwork(settings, vocab_size)
        self.next_label = nn.Linear(self.prediction.output_size, vocab_size)
        initialize_outside_cells(self, settings)

    def out_lens(self, feat_lens: Tensor) -> Tensor:
        """As given: it reads no features."""
        return feat_lens

    def forward(self, labels: Tensor) -> Tensor:
        """Log-probabilities (N, L + 1, V) of what comes before, between and after (N, L) labels."""
        scores = self.next_label(self.prediction(labels))
        return F.log_softmax(scores.to(torch.promote_types(scores.dtype, torch.float32)), dim=-1)
