"""All settings of a recipe, with their defaults, units and limits: one class a TOML table."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from asrkit.lab_settings import LabSettings
from asrkit.settings_types import (
    CellName,
    Count,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    Share,
    Table,
)

Unit = Literal["word", "char", "phone"]


class RecipeSettings(Table):
    """`[recipe]`: what the recipe is."""

    name: str
    description: str = ""
    seed: Count = 1


class DataSettings(Table):
    """`[data]`: where speech and transcripts come from and how they are batched."""

    root: str = ""
    """Folder of the raw corpus, for recipes that have a `prepare.py`."""
    train_subsets: tuple[str, ...] = ()
    """Parts of the raw corpus to train on, where it comes in parts and the recipe's `prepare.py`
    knows them; empty is all."""
    train: str = ""
    """Training manifest (JSONL), for recipes without a `prepare.py`; likewise `dev` and `test`.
    A relative path is taken from the recipe's folder."""
    dev: str = ""
    test: str = ""
    unit: Literal["char", "phone", "bpe"] = "char"
    """Targets: single characters, symbols separated by white space (phones), or pieces of words
    that byte-pair encoding finds in the training transcripts."""
    vocabulary_size: PositiveInt = 500
    """Pieces of words, the blank included; `unit = "bpe"` only."""
    lexicon: str = ""
    """Pronunciations, a word and its phones a line, for `model.phone_layer`. An utterance with a
    word that it lacks teaches tokens only. A relative path is taken from the recipe's folder."""
    text: tuple[str, ...] = ()
    """Texts, a sentence a line: what spells (`model.spells_from = "phones"`) is trained on them,
    in place of the training set, from which come only the sounds. Nothing else is trained.
    An epoch takes sentences that would last as long as the training set. Paths as for `lexicon`."""
    sample_rate_hz: PositiveInt = 16000
    max_batch_s: PositiveFloat = 120.0
    """A batch holds at most this many seconds of audio, padding included."""
    max_batch_utterances: Count = 0
    """A batch of the training holds at most this many utterances; 0 sets no limit."""
    num_buckets: PositiveInt = 10
    """Utterances are grouped into this many classes of similar duration."""


class FeatureSettings(Table):
    """`[features]`: from waveform to input vectors."""

    kind: Literal["fbank", "mfcc"] = "fbank"
    num_mel_bins: PositiveInt = 80
    num_ceps: PositiveInt = 13
    """Cepstral coefficients kept, `kind = "mfcc"` only."""
    use_energy: bool = False
    """Append the log energy of each frame (fbank), or put it in place of C0 (mfcc)."""
    delta_order: Annotated[int, Field(ge=0, le=2)] = 0
    """Append first (1) and second (2) differences."""
    frame_length_ms: PositiveFloat = 25.0
    frame_shift_ms: PositiveFloat = 10.0
    low_freq_hz: NonNegativeFloat = 20.0
    high_freq_hz: NonNegativeFloat = 0.0
    """Upper edge of the highest filter; 0 is half the sample rate."""
    preemphasis: Share = 0.97
    normalization: Literal["none", "global", "speaker", "utterance"] = "global"
    """Mean and variance normalisation, and over what its statistics are taken."""


class AugmentSettings(Table):
    """`[augment]`: random changes to training data only."""

    speed_factors: tuple[PositiveFloat, ...] = ()
    """One is drawn for each utterance, e.g. `[0.9, 1.0, 1.1]`."""
    noise_snr_db: tuple[float, float] | None = None
    """Add Gaussian noise at a signal-to-noise ratio drawn from this range."""
    noise_probability: Share = 0.5
    noise_slope: tuple[NonNegativeFloat, NonNegativeFloat] = (0.0, 0.0)
    """Its power falls with frequency to a power drawn from this range: 0 is white noise, 1 pink, 2
    brown."""
    babble_snr_db: tuple[float, float] | None = None
    """Add other utterances of the batch at a ratio drawn from this range."""
    babble_probability: Share = 0.3
    babble_voices: PositiveInt = 4
    room_t60_s: tuple[PositiveFloat, PositiveFloat] | None = None
    """Put speech into rooms; the time in which echoes fall by 60 dB is drawn from this range."""
    room_direct_db: tuple[float, float] = (0.0, 15.0)
    """Energy of the direct sound over that of its echoes, drawn from this range."""
    room_probability: Share = 0.5
    gain_db: tuple[float, float] | None = None
    """Make each utterance louder by decibels drawn from this range."""
    telephone_probability: Share = 0.0
    """Share of utterances that are telephoned: 300 to 3400 Hz, 8-bit mu-law."""
    low_pass_hz: tuple[PositiveFloat, PositiveFloat] | None = None
    """Low-pass filter other utterances with a cutoff drawn from this range."""
    low_pass_probability: Share = 0.3
    num_freq_masks: Count = 0
    max_freq_mask_bins: Count = 15
    num_time_masks: Count = 0
    max_time_mask_frames: Count = 40
    max_time_mask_share: Share = 0.2
    """No time mask is longer than this share of its utterance."""

    @field_validator(
        "noise_snr_db",
        "noise_slope",
        "babble_snr_db",
        "room_t60_s",
        "room_direct_db",
        "gain_db",
        "low_pass_hz",
    )
    @classmethod
    def _check_range(cls, value: tuple[float, float] | None) -> tuple[float, float] | None:
        if value is not None and value[0] > value[1]:
            raise ValueError(f"{list(value)}; expected the lower end of the range first")
        return value


class ModelSettings(Table):
    """`[model]`: the acoustic model."""

    kind: Literal["ctc", "transducer", "next_label"] = "ctc"
    """What turns the recurrent layers' outputs into labels: CTC (Graves 2006), or a transducer
    with a prediction network (Graves 2012, 2013). `"next_label"` is that prediction network alone,
    trained on the transcripts; it recognises nothing, but a transducer can start from it."""
    cell: CellName = "lstm"
    """The recurrence of every layer; the modules of `asrkit.nn.cells` give their equations."""
    bidirectional: bool = True
    num_layers: PositiveInt = 3
    hidden_size: PositiveInt = 250
    """Memory cells of each direction in each layer."""
    projection_size: PositiveInt = 128
    """Outputs of each direction in each layer, `cell = "lstm_projected"` only."""
    connection: Literal["plain", "residual", "highway"] = "plain"
    """How a layer's output joins its input, from the second layer on."""
    init: Literal["scaled_uniform", "uniform", "orthogonal"] = "scaled_uniform"
    """First weights of the recurrent layers: uniform in ±1/√hidden_size, or in ±`init_range`; or
    orthogonal recurrent weights, with the others as in `scaled_uniform`. With `uniform`, all other
    layers begin uniform in ±`init_range` too."""
    init_range: PositiveFloat = 0.1
    forget_bias: float = 1.0
    """Added to the first bias of every forget gate."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Between layers and before the output layer."""
    dropout_per: Literal["frame", "sequence"] = "frame"
    """Draw `dropout` anew for each frame, or once for all frames of an utterance (Gal & Ghahramani
    2016)."""
    recurrent_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """On the recurrent connections of every layer, drawn once for all frames of an utterance."""
    frontend: Literal["none", "stack", "conv", "conv_lstm"] = "none"
    subsampling: PositiveInt = 1
    """Input frames for one output frame; 1, 2 or 4 for `frontend = "conv"`."""
    conv_channels: PositiveInt = 32
    """Maps of `frontend = "conv"` and `"conv_lstm"`."""
    phone_layer: Count = 0
    """Recurrent layer, counted from 1, of which a second output layer reads phones; 0 is none.
    Layers above it are for the tokens alone (hierarchical CTC: Fernández, Graves & Schmidhuber
    2007)."""
    spells_from: Literal["frames", "phones"] = "frames"
    """What the layers above `phone_layer` read: the outputs of that layer, or the posteriors of
    phones alone. The latter can be made up for any text, so these layers can learn from `data.text`
    and teach those below nothing."""
    prediction_size: PositiveInt = 250
    """Memory cells of the prediction network, `kind = "transducer"` and `"next_label"` only."""
    joint_size: PositiveInt = 250
    """Units of the joint layer, `kind = "transducer"` only."""

    @model_validator(mode="after")
    def _check_subsampling(self) -> ModelSettings:
        if self.frontend in ("none", "conv_lstm") and self.subsampling != 1:
            raise ValueError(f'subsampling = {self.subsampling} needs frontend = "stack" or "conv"')
        if self.frontend == "conv" and self.subsampling not in (1, 2, 4):
            raise ValueError(
                f'subsampling = {self.subsampling}, but frontend = "conv" takes 1, 2 or 4'
            )
        return self


class TrainSettings(Table):
    """`[train]`: the optimiser, its schedule and when to stop."""

    optimizer: Literal["sgd", "adamw"] = "adamw"
    learning_rate: PositiveFloat = 1e-3
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """`optimizer = "sgd"` only."""
    weight_decay: NonNegativeFloat = 0.0
    schedule: Literal["constant", "plateau", "cosine"] = "constant"
    warmup_steps: Count = 0
    plateau_factor: Annotated[float, Field(gt=0, lt=1)] = 0.5
    plateau_patience: Count = 1
    """Epochs without a better dev error that are let pass; after one more the rate is multiplied by
    `plateau_factor`, and the count begins anew."""
    max_epochs: PositiveInt = 30
    clip_norm: NonNegativeFloat = 0.0
    """Largest Euclidean norm of the gradient; 0 does not clip."""
    clip_value: NonNegativeFloat = 0.0
    """Largest magnitude of each component of the gradient, clipped before its norm; 0 does not."""
    truncate_frames: Count = 0
    """The recurrent layers pass gradients back within stretches of this many frames only, as in
    truncated backpropagation through time; 0 is full backpropagation."""
    initial_weights: tuple[str, ...] = ()
    """Weight files of earlier runs (`checkpoints/final.safetensors`) to start from, in turn: every
    weight whose name and shape agree is taken over. A relative path is taken from here."""
    intermediate_layers: tuple[PositiveInt, ...] = ()
    """CTC is also computed of what the output layer reads after these recurrent layers, counted
    from 1, and trains them too (Lee & Watanabe 2021); nothing of it is left in recognition."""
    intermediate_weight: Annotated[float, Field(ge=0, lt=1)] = 0.3
    """Share of the mean of these losses in what is minimised; the last layer's has the rest."""
    phone_weight: Share = 0.5
    """Share of the phones' loss in what is minimised, `model.phone_layer` only."""
    phone_crf_weight: Share = 0.0
    """Share of the CTC-CRF (Xiang & Ou 2019) in the phones' loss: they shall be likelier than all
    other phones that a trigram model of the training transcripts allows, as in recognition."""
    accumulate_batches: PositiveInt = 1
    early_stopping_epochs: Count = 0
    """Stop after this many epochs without a better dev error; 0 never stops early."""
    average_checkpoints: PositiveInt = 1
    """Average the weights of this many best epochs, where that lowers the dev error."""
    weight_noise_std: NonNegativeFloat = 0.0
    """Standard deviation of Gaussian noise on the weights, drawn once for the frames of a batch
    (Graves 2013: 0.075, with one sequence a batch)."""
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    """Arithmetic of the network. A CPU takes float16 for float32; bfloat16 is faster there if it
    multiplies in it (AVX512-BF16, AMX). Weights, loss and recognition stay in float32."""
    checkpoint_steps: PositiveInt = 500


class DecodeSettings(Table):
    """`[decode]`: from log-probabilities to text."""

    method: Literal["greedy", "beam"] = "greedy"
    reads: Literal["tokens", "phones"] = "tokens"
    """What the beam search reads off a network with `model.phone_layer`; phones need a lexicon. The
    greedy search always reads tokens."""
    beam_size: PositiveInt = 16
    token_min_log_prob: Annotated[float, Field(lt=0)] = -12.0
    """The beam search extends a prefix only by tokens at least this likely in a frame."""
    max_frame_tokens: Count = 0
    """The beam search extends prefixes by this many likeliest tokens of a frame; 0 is by all."""
    beam_threshold: NonNegativeFloat = 0.0
    """After each frame the beam search of CTC drops prefixes whose score is lower than the best by
    this or more, in nats; 0 drops none."""
    blank_skip_prob: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Frames whose blank is likelier than this are taken for pure blanks; 1 takes none."""
    lm: str = ""
    """Language model, ARPA or what `asrkit lm build` writes. A relative path is taken from here."""
    vocabulary: Literal["open", "closed"] = "open"
    """Whether words outside the lexicon can be spelled; of phones they cannot."""
    lexicon: str = ""
    """A word and its tokens a line; without it, the words of the language model as they are
    spelled. A relative path is taken from here."""
    pronouncer: str = ""
    """What `asrkit lexicon learn` writes: guesses the phones of hotwords that a lexicon of phones
    lacks, which become words of it. A relative path is taken from here."""
    lm_weight: NonNegativeFloat = 0.5
    """Factor of the language model's log-probabilities."""
    word_bonus: float = 0.0
    """Added to the score of a hypothesis for each of its words."""
    rescoring_lm: str = ""
    """Recurrent language model, what `asrkit lm train` writes: ranks the best hypotheses of the
    search with `lm` anew. A relative path is taken from here."""
    rescoring_share: Share = 0.5
    """Of the recurrent model in a word's probability; the rest is that of `lm`."""
    rescoring_nbest: PositiveInt = 50
    """How many hypotheses are ranked anew, if `beam_size` is not smaller."""
    oov_penalty: NonNegativeFloat = 0.0
    """Taken from the score for each word that the language model does not know."""
    hotwords: tuple[str, ...] = ()
    """Words or phrases to favour, `phrase` or `phrase:weight`."""
    hotword_weight: NonNegativeFloat = 5.0
    """Added to the score for each hotword found that has no weight of its own."""
    posterior_temperature: PositiveFloat = 1.0
    """Above 1 the beam search takes the network for less sure than it says."""
    prior_weight: NonNegativeFloat = 0.0
    """The beam search divides posteriors by this power of the priors, `log_priors`."""
    log_priors: tuple[float, ...] = ()
    """Of each symbol that is read, blank first, as `asrkit tune` measures them on a dev set."""
    confidence_temperature: PositiveFloat = 1.0
    """Divides the log-odds of a word's probability; `asrkit tune` fits it to a dev set."""
    confidence_bias: float = 0.0
    """Added to them then; fitted likewise."""
    splits: tuple[str, ...] = ("dev", "test")

    @property
    def reads_phones(self) -> bool:
        """Whether the search is one that reads phones."""
        return self.method == "beam" and self.reads == "phones"


class ScoreSettings(Table):
    """`[score]`: how the recipe's hypotheses are scored."""

    unit: Unit = "word"
    protocol: str = "plain"
    """Name of a protocol, see `asrkit score --help`."""


class Settings(Table):
    """A whole `recipe.toml`."""

    recipe: RecipeSettings
    data: DataSettings = DataSettings()
    features: FeatureSettings = FeatureSettings()
    augment: AugmentSettings = AugmentSettings()
    model: ModelSettings = ModelSettings()
    train: TrainSettings = TrainSettings()
    decode: DecodeSettings = DecodeSettings()
    score: ScoreSettings = ScoreSettings()
    lab: LabSettings | None = None
    """Makes the recipe one of the laboratory: it has no other table but `[recipe]`."""

    @model_validator(mode="after")
    def _check_layers(self) -> Settings:
        layers = self.train.intermediate_layers
        phone_layer = self.model.phone_layer
        if phone_layer and (self.model.kind != "ctc" or phone_layer > self.model.num_layers):
            raise ValueError(
                f'model.phone_layer = {phone_layer} needs model.kind = "ctc" and as many layers, '
                f'not "{self.model.kind}" with {self.model.num_layers}'
            )
        if self.model.spells_from == "phones":
            if not 0 < phone_layer < self.model.num_layers:
                raise ValueError(
                    f'model.spells_from = "phones" needs layers above model.phone_layer = '
                    f"{phone_layer}, which must not be 0; model.num_layers = "
                    f"{self.model.num_layers}"
                )
            if layers:
                raise ValueError(
                    f"train.intermediate_layers = {list(layers)} need model.spells_from = "
                    '"frames"; other layers read no tokens'
                )
        elif self.data.text:
            raise ValueError('data.text needs model.spells_from = "phones"')
        if self.decode.reads_phones and not phone_layer:
            raise ValueError('decode.reads = "phones" needs model.phone_layer, which is 0')
        if layers and self.model.kind != "ctc":
            raise ValueError(
                f"train.intermediate_layers = {list(layers)} needs model.kind = "
                f'"ctc", not "{self.model.kind}"'
            )
        if len(set(layers)) < len(layers) or max(layers, default=0) >= self.model.num_layers:
            raise ValueError(
                f"train.intermediate_layers = {list(layers)}; expected different layers below the "
                f"last of model.num_layers = {self.model.num_layers}"
            )
        return self
