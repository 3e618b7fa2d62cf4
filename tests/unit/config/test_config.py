"""Settings are read strictly, in layers, and every complaint names its source and key."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from asrkit import config
from asrkit.config import load_settings, settings_from_toml, settings_to_toml
from asrkit.errors import EXIT_USAGE, ConfigError
from asrkit.recipe.locate import bundled_recipes, find_recipe
from asrkit.settings import (
    AugmentSettings,
    DataSettings,
    DecodeSettings,
    RecipeSettings,
    Settings,
    TrainSettings,
)

WriteRecipe = Callable[[str], Path]


def complaint(recipe: Path, *overrides: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load_settings(recipe, overrides)
    assert caught.value.exit_code == EXIT_USAGE
    return str(caught.value)


def test_defaults_but_for_the_name(write_recipe: WriteRecipe) -> None:
    assert load_settings(write_recipe("")) == Settings(recipe=RecipeSettings(name="tiny"))


def test_values_of_every_kind(write_recipe: WriteRecipe) -> None:
    content = """
[train]
learning_rate = 1e-3
max_epochs = 7
[features]
use_energy = true
[augment]
speed_factors = [0.9, 1, 1.1]
noise_snr_db = [5, 20.0]
[data]
root = "/speech/größe"
[decode]
splits = ["dev"]
"""
    settings = load_settings(write_recipe(content))
    assert settings.train.learning_rate == 1e-3
    assert settings.train.max_epochs == 7
    assert settings.features.use_energy is True
    assert settings.augment.speed_factors == (0.9, 1.0, 1.1)
    assert settings.augment.noise_snr_db == (5.0, 20.0)
    assert settings.data.root == "/speech/größe"
    assert settings.decode.splits == ("dev",)


@pytest.mark.parametrize("name", bundled_recipes())
def test_bundled_recipes_are_valid(name: str) -> None:
    assert load_settings(find_recipe(name)).recipe.name == name.replace("/", "-")


# What a file can hold that it should not, and what is said about it, after the file's name.
MISTAKES = {
    "unknown key": (
        "[features]\nnum_mel_bin = 40",
        "features.num_mel_bin is not a known key; did you mean num_mel_bins?",
    ),
    "unknown key, nothing near": (
        "[score]\nxyzzy = 1",
        "score.xyzzy is not a known key; known: unit, protocol",
    ),
    "unknown table": ("[modle]\ncell = 'lstm'", "modle is not a known key; did you mean model?"),
    "key outside its table": (
        "hidden_size = 3",
        "hidden_size is not a known key; known: recipe, data,",
    ),
    "quoted whole number": (
        '[train]\nmax_epochs = "3"',
        'train.max_epochs = "3"; expected a whole number, e.g. 10, without quotes',
    ),
    "quoted number": (
        '[train]\nlearning_rate = "1e-3"',
        'train.learning_rate = "1e-3"; expected a number, e.g. 0.5, without quotes',
    ),
    "fraction": ("[model]\nhidden_size = 2.0", "model.hidden_size = 2.0; expected a whole number"),
    "true is no number": (
        "[model]\nnum_layers = true",
        "model.num_layers = true; expected a whole",
    ),
    "one is not true": (
        "[features]\nuse_energy = 1",
        "features.use_energy = 1; expected true or false",
    ),
    "bare number as string": ("[data]\nroot = 5", "data.root = 5; expected a string in quotes"),
    "number as table": ("model = 3", "model = 3; expected a table"),
    "no list": (
        "[augment]\nspeed_factors = 0.9",
        "augment.speed_factors = 0.9; expected a list in brackets",
    ),
    "quoted number in a list": (
        '[augment]\nspeed_factors = [0.9, "1"]',
        'augment.speed_factors.1 = "1"; expected a number',
    ),
    "list too short": (
        "[augment]\nnoise_snr_db = [5]",
        "augment.noise_snr_db = [5]; expected more items",
    ),
    "list too long": (
        "[augment]\nnoise_snr_db = [5, 6, 7]",
        "augment.noise_snr_db = [5, 6, 7]; expected 2 items",
    ),
    "unknown choice": (
        '[train]\noptimizer = "adam"',
        "train.optimizer = \"adam\"; expected 'sgd' or 'adamw'",
    ),
    "zero where positive": (
        "[train]\nlearning_rate = 0",
        "train.learning_rate = 0; input should be greater than 0",
    ),
    "negative count": (
        "[train]\nwarmup_steps = -1",
        "train.warmup_steps = -1; input should be greater than or equal to 0",
    ),
    "one where less": ("[model]\ndropout = 1.0", "model.dropout = 1.0; input should be less than"),
    "infinite": (
        "[train]\nclip_norm = inf",
        "train.clip_norm = Infinity; input should be a finite",
    ),
    "not a number": ("[train]\nclip_norm = nan", "train.clip_norm = NaN; input should be a finite"),
    "no front end to subsample": (
        "[model]\nsubsampling = 3",
        'model: subsampling = 3 needs frontend = "stack" or "conv"',
    ),
    "no power of two": (
        '[model]\nfrontend = "conv"\nsubsampling = 3',
        'model: subsampling = 3, but frontend = "conv" takes 1, 2 or 4',
    ),
    "not TOML": ("[model\n", "not valid TOML: "),
    "extends no list": ('extends = "a"', "extends = 'a'; expected a list of fragment names"),
    "extends numbers": ("extends = [1]", "extends = [1]; expected a list of fragment names"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_names_file_and_key(write_recipe: WriteRecipe, mistake: str) -> None:
    content, expected = MISTAKES[mistake]
    recipe = write_recipe(content)
    message = complaint(recipe)
    assert message.startswith(f"{recipe}: {expected}")
    assert "\n" not in message


def test_all_mistakes_are_told_at_once(write_recipe: WriteRecipe) -> None:
    recipe = write_recipe("[train]\nmax_epoch = 3\n[model]\ncell = 'gated'")
    lines = complaint(recipe, "score.unit=letter").splitlines()
    assert len(lines) == 3
    assert sum(line.startswith(f"{recipe}: ") for line in lines) == 2
    assert sum(line.startswith("--set score.unit=letter: score.unit = ") for line in lines) == 1


def test_missing_name(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text("[recipe]\nseed = 3\n")
    assert complaint(recipe) == f"{recipe}: recipe.name is missing; it has no default, set it"
    recipe.write_text("")
    assert complaint(recipe) == f"{recipe}: recipe is missing; it has no default, set it"


def test_unreadable_files(tmp_path: Path) -> None:
    missing = tmp_path / "missing.toml"
    assert complaint(missing) == f"{missing}: cannot be read: No such file or directory"
    assert complaint(tmp_path) == f"{tmp_path}: cannot be read: Is a directory"
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b'[recipe]\nname = "\xff"\n')
    assert complaint(binary).startswith(f"{binary}: not a UTF-8 text file: ")


# --- --set


@pytest.mark.parametrize(
    ("override", "table", "key", "value"),
    [
        ("train.learning_rate=1e-3", "train", "learning_rate", 1e-3),
        ("train.learning_rate=2", "train", "learning_rate", 2.0),
        ("train.max_epochs = 10", "train", "max_epochs", 10),
        ("features.use_energy=true", "features", "use_energy", True),
        ("features.kind=mfcc", "features", "kind", "mfcc"),
        ('features.kind="mfcc"', "features", "kind", "mfcc"),
        ("data.root=/my speech/a#b=c", "data", "root", "/my speech/a#b=c"),
        ("data.root=", "data", "root", ""),
        ("data.root=größe", "data", "root", "größe"),
        ("augment.speed_factors=[0.9, 1.1]", "augment", "speed_factors", (0.9, 1.1)),
        ("augment.speed_factors=[]", "augment", "speed_factors", ()),
        ('decode.splits=["dev", "other"]', "decode", "splits", ("dev", "other")),
        ("model={num_layers=2, cell='lstm'}", "model", "num_layers", 2),
    ],
)
def test_set(write_recipe: WriteRecipe, override: str, table: str, key: str, value: object) -> None:
    found = getattr(getattr(load_settings(write_recipe(""), [override]), table), key)
    assert found == value
    assert type(found) is type(value)


def test_set_wins_over_the_file_and_the_last_wins(write_recipe: WriteRecipe) -> None:
    recipe = write_recipe("[model]\nnum_layers = 2\nhidden_size = 20")
    settings = load_settings(recipe, ["model.num_layers=4", "model.num_layers=5"])
    assert settings.model.num_layers == 5
    assert settings.model.hidden_size == 20


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("train.max_epoch=3", "train.max_epoch is not a known key; did you mean max_epochs?"),
        ("train.max_epochs=ten", 'train.max_epochs = "ten"; expected a whole number'),
        ("train.learning_rate=.5", 'train.learning_rate = ".5"; expected a number, e.g. 0.5'),
        ("recipe.name=5", "recipe.name = 5; expected a string in quotes"),
        ("model=big", 'model = "big"; expected a table'),
        ("train.max_epochs.x=1", 'train.max_epochs = {"x": 1}; expected a whole number'),
        ("model.subsampling=2", "model: subsampling = 2 needs frontend"),
        ("train.max_epochs", "expected table.key=value, e.g. train.max_epochs=10"),
        ("=3", "expected table.key=value"),
        ("train..max_epochs=3", "expected table.key=value"),
        ("extends=['big']", "extends is not a known key"),
    ],
)
def test_a_wrong_set_is_named(write_recipe: WriteRecipe, override: str, expected: str) -> None:
    recipe = write_recipe("[train]\nmax_epochs = 4\n[model]\nnum_layers = 1")
    assert complaint(recipe, override).startswith(f"--set {override}: {expected}")


def test_set_takes_one_value_and_drops_nothing(write_recipe: WriteRecipe) -> None:
    override = "train.max_epochs=3\nx=4"
    assert r'train.max_epochs = "3\nx=4"; expected a whole' in complaint(write_recipe(""), override)


def test_set_from_a_command_line_that_is_not_utf8(write_recipe: WriteRecipe) -> None:
    message = complaint(write_recipe(""), "data.root=caf\udce9")
    assert message == r"--set 'data.root=caf\udce9': not valid UTF-8 text: surrogates not allowed"


# --- extends


@pytest.fixture
def conf_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "conf"
    (folder / "model").mkdir(parents=True)
    monkeypatch.setattr(config, "CONF_DIR", folder)
    return folder


def test_extends_in_order_below_the_recipe(conf_dir: Path, write_recipe: WriteRecipe) -> None:
    (conf_dir / "a.toml").write_text("[model]\nnum_layers = 1\nhidden_size = 1\ndropout = 0.1\n")
    (conf_dir / "model" / "b.toml").write_text("[model]\nnum_layers = 2\nhidden_size = 2\n")
    recipe = write_recipe('extends = ["a", "model/b", "own.toml"]\n[model]\nnum_layers = 3')
    (recipe.parent / "own.toml").write_text("[data]\nunit = 'phone'\n")
    settings = load_settings(recipe, ["data.root=x"])
    assert settings.model.num_layers == 3  # the recipe's own
    assert settings.model.hidden_size == 2  # the later fragment's
    assert settings.model.dropout == 0.1  # the earlier one's
    assert settings.data.unit == "phone"
    assert settings.data.root == "x"


def test_missing_fragment(conf_dir: Path, write_recipe: WriteRecipe) -> None:
    recipe = write_recipe('extends = ["big"]')
    expected = f"{recipe}: extends = 'big': there is no {conf_dir / 'big.toml'}; known fragments: "
    assert complaint(recipe) == expected + "none"
    for name in ("small", "model/large"):
        (conf_dir / f"{name}.toml").write_text("")
    assert complaint(recipe) == expected + "model/large, small"


def test_a_fragment_extends_nothing(conf_dir: Path, write_recipe: WriteRecipe) -> None:
    (conf_dir / "a.toml").write_text("extends = ['b']\n")
    (conf_dir / "b.toml").write_text("")
    message = complaint(write_recipe('extends = ["a"]'))
    assert message == f"{conf_dir / 'a.toml'}: extends: a fragment cannot extend another"


def test_a_mistake_in_a_fragment_names_the_fragment(
    conf_dir: Path, write_recipe: WriteRecipe
) -> None:
    fragment = conf_dir / "a.toml"
    fragment.write_text("[model]\nnum_layer = 1\nhidden_size = 0\n")
    lines = complaint(write_recipe('extends = ["a"]\n[model]\ndropout = 0.5')).splitlines()
    assert len(lines) == 2
    assert all(line.startswith(f"{fragment}: model.") for line in lines)
    # What the recipe corrects is no mistake, and what it makes wrong is its own.
    fragment.write_text("[model]\nhidden_size = 0\n")
    assert load_settings(write_recipe('extends = ["a"]\n[model]\nhidden_size = 1'))
    fragment.write_text("[model]\nhidden_size = 1\n")
    recipe = write_recipe('extends = ["a"]\n[model]\nhidden_size = -1')
    assert complaint(recipe).startswith(f"{recipe}: model.hidden_size = -1; ")


# --- the snapshot in a run's folder

# TOML is UTF-8, which has no lone surrogates.
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
positive = st.floats(min_value=0, exclude_min=True, allow_infinity=False)
decibels = st.floats(allow_nan=False, allow_infinity=False)


@hypothesis_settings(max_examples=60, deadline=None)
@given(
    name=text,
    root=text,
    rate=positive,
    seed=st.integers(0, 2**63),
    factors=st.lists(positive, max_size=3),
    snr_db=st.none() | st.tuples(decibels, decibels).map(sorted).map(tuple),
    splits=st.lists(text, max_size=3),
)
def test_snapshot_round_trip(
    name: str,
    root: str,
    rate: float,
    seed: int,
    factors: list[float],
    snr_db: tuple[float, float] | None,
    splits: list[str],
) -> None:
    settings = Settings(
        recipe=RecipeSettings(name=name, seed=seed),
        data=DataSettings(root=root),
        augment=AugmentSettings(speed_factors=tuple(factors), noise_snr_db=snr_db),
        train=TrainSettings(learning_rate=rate),
        decode=DecodeSettings(splits=tuple(splits)),
    )
    assert settings_from_toml(settings_to_toml(settings), "snapshot") == settings


def test_snapshot_writes_defaults_too() -> None:
    text = settings_to_toml(Settings(recipe=RecipeSettings(name="x")))
    assert "max_epochs = 30\n" in text
    assert "use_energy = false\n" in text


def test_a_damaged_snapshot_is_named() -> None:
    with pytest.raises(ConfigError, match=r"^run/settings.toml: not valid TOML: "):
        settings_from_toml("[model", "run/settings.toml")
    with pytest.raises(ConfigError, match=r"^run/settings.toml: recipe is missing"):
        settings_from_toml("", "run/settings.toml")
    with pytest.raises(ConfigError, match=r"^run/settings.toml: model.width is not a known key"):
        settings_from_toml("[recipe]\nname='x'\n[model]\nwidth=3", "run/settings.toml")
