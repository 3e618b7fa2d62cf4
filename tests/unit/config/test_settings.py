"""Settings are frozen, never coerced, and every default is within its own limits."""

from __future__ import annotations

import json

import pytest
from pydantic import BaseModel, ValidationError

from asrkit.settings import AugmentSettings, ModelSettings, RecipeSettings, Settings, TrainSettings

SETTINGS = Settings(recipe=RecipeSettings(name="x"))
TABLES = [name for name in Settings.model_fields if name not in ("recipe", "lab")]


def test_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        SETTINGS.train.max_epochs = 3


@pytest.mark.parametrize("table", TABLES)
def test_defaults_pass_their_own_checks(table: str) -> None:
    defaults: BaseModel = getattr(SETTINGS, table)
    assert type(defaults).model_validate(defaults.model_dump()) == defaults


@pytest.mark.parametrize(
    ("table", "values"),
    [
        (ModelSettings, {"hidden_size": "250"}),
        (ModelSettings, {"hidden_size": 250.0}),
        (ModelSettings, {"hidden_size": 0}),
        (ModelSettings, {"dropout": -0.1}),
        (ModelSettings, {"frontend": "conv", "subsampling": 8}),
        (ModelSettings, {"frontend": "none", "subsampling": 2}),
        (TrainSettings, {"learning_rate": -1e-3}),
        (TrainSettings, {"momentum": 1.0}),
        (TrainSettings, {"plateau_factor": 1.0}),
        (TrainSettings, {"max_epochs": 0}),
        (TrainSettings, {"checkpoint_steps": 0}),
        (TrainSettings, {"precision": "float64"}),
    ],
)
def test_out_of_range(table: type[BaseModel], values: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        table.model_validate(values)


@pytest.mark.parametrize("key", ["noise_snr_db", "noise_slope", "room_t60_s", "low_pass_hz"])
def test_ranges_begin_at_their_lower_end(key: str) -> None:
    assert AugmentSettings.model_validate({key: (0.5, 0.5)})
    with pytest.raises(ValidationError, match=r"\[2.0, 1.0\]; expected the lower end"):
        AugmentSettings.model_validate({key: (2.0, 1.0)})


@pytest.mark.parametrize(
    ("layers", "kind", "message"),
    [
        ([3], "ctc", r"\[3\]; expected different layers below the last of model.num_layers = 3"),
        ([1, 1], "ctc", "expected different layers"),
        ([1], "transducer", 'needs model.kind = "ctc", not "transducer"'),
    ],
)
def test_intermediate_layers_are_below_the_last_of_a_ctc_network(
    layers: list[int], kind: str, message: str
) -> None:
    tables = {"recipe": {"name": "x"}, "train": {"intermediate_layers": layers}}
    with pytest.raises(ValidationError, match=message):
        Settings.model_validate_json(json.dumps({**tables, "model": {"kind": kind}}))


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"phone_layer": 4}, r'4 needs model.kind = "ctc" .* not "ctc" with 3'),
        ({"phone_layer": 1, "kind": "transducer"}, r'1 needs .* not "transducer" with 3'),
        ({}, r'decode.reads = "phones" needs model.phone_layer, which is 0'),
    ],
)
def test_phones_are_read_off_a_layer_of_a_ctc_network(
    model: dict[str, object], message: str
) -> None:
    tables = {"recipe": {"name": "x"}, "decode": {"method": "beam", "reads": "phones"}}
    with pytest.raises(ValidationError, match=message):
        Settings.model_validate({**tables, "model": model})
    assert Settings.model_validate({**tables, "model": {"phone_layer": 3}})


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({"model": {"phone_layer": 0}}, r"needs layers above model.phone_layer = 0"),
        ({"model": {"phone_layer": 3}}, r"= 3, .* model.num_layers = 3"),
        ({"train": {"intermediate_layers": [1]}}, r"intermediate_layers = \[1\] need"),
        ({"model": {"spells_from": "frames"}}, r'data.text needs model.spells_from = "phones"'),
    ],
)
def test_what_spells_phones(tables: dict[str, dict[str, object]], message: str) -> None:
    fine: dict[str, dict[str, object]] = {
        "recipe": {"name": "x"},
        "data": {"text": ["books.txt"]},
        "model": {"phone_layer": 2, "spells_from": "phones"},
        "train": {},
    }
    assert Settings.model_validate_json(json.dumps(fine))
    wrong = {name: {**table, **tables.get(name, {})} for name, table in fine.items()}
    with pytest.raises(ValidationError, match=message):
        Settings.model_validate_json(json.dumps(wrong))


@pytest.mark.parametrize(("frontend", "subsampling"), [("none", 1), ("stack", 3), ("conv", 4)])
def test_subsampling_that_fits(frontend: str, subsampling: int) -> None:
    settings = ModelSettings.model_validate({"frontend": frontend, "subsampling": subsampling})
    assert settings.subsampling == subsampling
