"""What may import what, and what no module may do, held against the source of every module."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]

# What each part of asrkit may import of asrkit, itself apart.
SETTINGS = {"settings", "settings_types", "lab_settings"}
CORE = SETTINGS | {"errors", "config", "bundled", "files", "progress", "compiled"}
TRAINING = {"data", "features", "nn", "ctc", "train"}
LAYERS = CORE | TRAINING | {"lm", "rnnlm", "pronounce", "decode", "score"}
MAY_IMPORT = {
    "errors": set(),
    "settings_types": set(),
    "lab_settings": {"settings_types"},
    "settings": {"settings_types", "lab_settings"},
    "bundled": set(),
    "compiled": set(),
    "files": set(),
    "progress": set(),
    "config": SETTINGS | {"errors", "bundled"},
    "data": CORE,
    "features": CORE | {"data"},
    "nn": CORE | {"data", "features"},
    "ctc": CORE | {"data", "features"},
    "train": CORE | TRAINING | {"lm"},
    "lab": CORE | {"nn", "train.optimizer", "train.seeding"},
    "lm": CORE | {"data"},
    "pronounce": CORE | {"data", "lm"},
    "rnnlm": CORE | {"lm", "nn", "train"},
    "decode": CORE | {"data.tokens", "data.bpe", "lm", "rnnlm", "pronounce"},
    "score": CORE | {"data.manifest", "data.table"},
    "model_file": LAYERS,
    "inference": LAYERS,
    "export": LAYERS | {"model_file"},
    "recipe": LAYERS | {"model_file", "inference"},
    "doctor": LAYERS | {"model_file", "inference", "recipe"},
    "tuning": LAYERS | {"model_file", "inference"},
    "transcribe": LAYERS | {"model_file", "inference"},
    "browser": LAYERS | {"model_file", "transcribe"},
    "api": LAYERS | {"model_file", "inference", "transcribe"},
    "cli": LAYERS
    | {
        "api",
        "browser",
        "doctor",
        "export",
        "lab",
        "model_file",
        "inference",
        "recipe",
        "transcribe",
        "tuning",
    },
    "__main__": {"cli"},
}
A_RECIPE_MAY_IMPORT = {"data", "errors", "settings"}

WITHOUT_TORCH = {
    *("asrkit.errors", "asrkit.settings", "asrkit.config", "asrkit.score", "asrkit.lm"),
    *("asrkit.pronounce", "asrkit.pronounce.learn", "asrkit.pronounce.guess"),
    *("asrkit.cli", "asrkit.__main__"),
    *("asrkit.data.manifest", "asrkit.data.audio", "asrkit.data.tokens", "asrkit.data.batching"),
    *("asrkit.data.validate", "asrkit.data.kaldi", "asrkit.data.table", "asrkit.data.corpus"),
}
TORCH = {"torch", "torchaudio", "safetensors.torch"}

UNPICKLES = {
    *("pickle", "_pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"),
    *("jsonpickle", "yaml", "ruamel", "torch.hub", "torch.jit", "torch.package"),
}
RUNS_STRINGS = {"eval", "exec", "__import__"}
SAYS_NOTHING = {"utils", "util", "helpers", "helper", "misc", "common"}
MAX_LINES = 400


def is_within(name: str, parent: str) -> bool:
    return name == parent or name.startswith(f"{parent}.")


@dataclass(frozen=True)
class Import:
    target: str
    """The module; of what is not asrkit's also the name taken from it, `torch.nn.functional`."""
    line: int
    at_once: bool
    """Whether importing the importer imports it: not inside a function or `if TYPE_CHECKING`."""


@dataclass(frozen=True)
class Module:
    name: str
    """Dotted, e.g. `asrkit.data.audio`; a package goes by its own name."""
    path: Path
    source: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.source)

    @cached_property
    def imports(self) -> list[Import]:
        return list(self._imports_in(self.tree, at_once=True))

    def _imports_in(self, parent: ast.AST, at_once: bool) -> Iterator[Import]:
        for node in ast.iter_child_nodes(parent):
            match node:
                case ast.Import(names):
                    yield from (Import(each.name, node.lineno, at_once) for each in names)
                case ast.ImportFrom(module, names, level):
                    base = self._absolute(module or "", level)
                    for each in names:
                        target = f"{base}.{each.name}"
                        if is_within(base, "asrkit") and target not in MODULES:
                            target = base
                        yield Import(target, node.lineno, at_once)
                case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.If(ast.Name("TYPE_CHECKING")):
                    yield from self._imports_in(node, at_once=False)
                case _:
                    yield from self._imports_in(node, at_once)

    def _absolute(self, module: str, level: int) -> str:
        if level == 0:
            return module
        parts = self.name.split(".")
        ups = level - (self.path.name == "__init__.py")
        return ".".join(filter(None, [*parts[: len(parts) - ups], module]))

    def problem(self, line: int, what: str) -> str:
        return f"{self.path.relative_to(REPOSITORY)}:{line}: {what}"


def read_module(path: Path) -> Module:
    parts = path.relative_to(REPOSITORY).with_suffix("").parts
    name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
    return Module(name, path, path.read_text("utf-8"))


def make_up(name: str, source: str) -> Module:
    """A module that is nowhere, to be judged as if it were there."""
    return Module(name, REPOSITORY.joinpath(*name.split(".")).with_suffix(".py"), source)


PATHS = [path for top in ("asrkit", "recipes") for path in (REPOSITORY / top).rglob("*.py")]
MODULES = {module.name: module for module in map(read_module, sorted(PATHS))}


def imports_against_the_order(module: Module) -> list[str]:
    part = module.name.split(".")[1] if "." in module.name else ""
    if is_within(module.name, "recipes"):
        allowed, itself = A_RECIPE_MAY_IMPORT, module.name
    else:
        allowed, itself = (MAY_IMPORT[part] if part else {"api"}), f"asrkit.{part}"
    known = [itself, *(f"asrkit.{name}" for name in allowed)]
    return [
        module.problem(each.line, f"{module.name} may not import {each.target}")
        for each in module.imports
        if is_within(each.target, "asrkit")
        and each.target != "asrkit"  # for its version
        and not any(is_within(each.target, name) for name in known)
    ]


def torch_where_it_must_not_be(module: Module) -> list[str]:
    """Find torch in what importing this module imports, directly or through asrkit's modules."""
    if not any(is_within(module.name, name) for name in WITHOUT_TORCH):
        return []
    problems = []
    seen, todo = {module.name}, [module]
    while todo:
        importer = todo.pop()
        for each in importer.imports:
            if not each.at_once:
                continue
            if any(is_within(each.target, name) for name in TORCH):
                what = f"imports {each.target}, which must not happen on importing {module.name}"
                problems.append(importer.problem(each.line, what))
            parts = each.target.split(".")
            packages = {".".join(parts[:end]) for end in range(1, len(parts) + 1)}
            new = (packages & MODULES.keys()) - seen
            seen |= new
            todo += [MODULES[name] for name in new]
    return problems


def code_that_data_could_run(module: Module) -> list[str]:
    problems = [
        module.problem(each.line, f"{each.target} can run code when it loads")
        for each in module.imports
        if any(is_within(each.target, name) for name in UNPICKLES | {"torch.load", "torch.save"})
    ]
    for node in ast.walk(module.tree):
        match node:
            case ast.Name(name) if name in RUNS_STRINGS:
                problems.append(module.problem(node.lineno, f"{name} runs code in a string"))
            case ast.Attribute(ast.Name("torch"), "load" | "save" as name):
                problems.append(module.problem(node.lineno, f"torch.{name} is pickle"))
            case ast.Attribute(ast.Name("torch"), "hub" | "jit" | "package" as name):
                problems.append(module.problem(node.lineno, f"torch.{name} can run code"))
            case ast.keyword("allow_pickle", value):
                problems.append(module.problem(value.lineno, "allow_pickle"))
    return problems


def too_long_or_named_for_nothing(module: Module) -> list[str]:
    problems = []
    if SAYS_NOTHING & set(module.name.split(".")):
        problems.append(module.problem(1, "its name does not say what is in it"))
    num_lines = len(module.source.splitlines())
    if num_lines > MAX_LINES:
        problems.append(module.problem(num_lines, f"more than {MAX_LINES} lines: two ideas?"))
    return problems


CHECKS = [
    imports_against_the_order,
    torch_where_it_must_not_be,
    code_that_data_could_run,
    too_long_or_named_for_nothing,
]


@pytest.mark.parametrize("check", CHECKS)
def test_every_module(check) -> None:
    assert {"asrkit", "asrkit.nn.cells.lstm", "recipes.timit.prepare"} <= MODULES.keys()
    problems = [problem for module in MODULES.values() for problem in check(module)]
    assert problems == []


def test_every_part_has_a_place_in_the_order() -> None:
    parts = {name.split(".")[1] for name in MODULES if name.startswith("asrkit.")}
    assert parts == MAY_IMPORT.keys()


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("asrkit.train.x", "import asrkit.decode.beam"),
        ("asrkit.train.x", "from asrkit.decode import beam"),
        ("asrkit.train.x", "from asrkit import decode"),
        ("asrkit.train.x", "from ..decode.beam import beam_search"),
        ("asrkit.train.x", "from .. import score"),
        ("asrkit.train.x", "def f():\n    from asrkit.score.scorer import score"),
        ("asrkit.train.x", "class C:\n    async def f(self):\n        import asrkit.cli"),
        ("asrkit.train.x", "if TYPE_CHECKING:\n    from asrkit.recipe.stages import Stage"),
        ("asrkit.train.x", "try:\n    import asrkit.model_file\nexcept ImportError:\n    pass"),
        ("asrkit.data.x", "from asrkit.features.mfcc import Mfcc"),
        ("asrkit.ctc.x", "from asrkit.nn.model import AcousticModel"),
        ("asrkit.decode.x", "from asrkit.data.manifest import Utterance"),
        ("asrkit.decode.x", "from asrkit.data import tokens, manifest"),
        ("asrkit.score.x", "from asrkit.data.audio import read_audio"),
        ("asrkit.transcribe.x", "import asrkit.recipe"),
        ("asrkit.recipe.x", "from asrkit.transcribe.inputs import Source"),
        ("asrkit.errors", "from asrkit.files import write_atomically"),
        ("recipes.x.prepare", "from asrkit.features.fbank import Fbank"),
        ("recipes.x.prepare", "def prepare():\n    from asrkit import train"),
    ],
)
def test_an_import_against_the_order_is_found(name: str, source: str) -> None:
    (problem,) = imports_against_the_order(make_up(name, source))
    assert f"{name} may not import asrkit." in problem


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("asrkit.train.x", "from asrkit.ctc.loss import ctc_nll\nimport asrkit"),
        ("asrkit.train.x", "from . import loop\nfrom ..data.tokens import TokenTable"),
        ("asrkit.decode.x", "from asrkit.data import tokens"),
        ("asrkit.recipe.x", "from asrkit import __version__"),
        ("recipes.x.prepare", "from asrkit.data.corpus import Corpus"),
        ("recipes.x.prepare", "from asrkit.errors import DataError\nimport asrkitten"),
    ],
)
def test_an_import_along_the_order_is_not(name: str, source: str) -> None:
    assert imports_against_the_order(make_up(name, source)) == []


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("asrkit.settings", "import torch"),
        ("asrkit.score.x", "import torch.nn.functional as F"),
        ("asrkit.score.x", "from torch import Tensor"),
        ("asrkit.data.audio", "import torchaudio"),
        ("asrkit.data.table", "from safetensors.torch import load"),
        ("asrkit.data.table", "class C:\n    from torch import nn"),
        ("asrkit.cli.x", "if True:\n    import torch"),
        ("asrkit.cli.x", "from asrkit.recipe import environment"),
        ("asrkit.cli.x", "from asrkit.train.seeding import seed_everything"),
    ],
)
def test_torch_is_found(name: str, source: str) -> None:
    problems = torch_where_it_must_not_be(make_up(name, source))
    assert problems
    assert f"must not happen on importing {name}" in problems[0]


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("asrkit.cli.x", "def command():\n    import torch"),
        ("asrkit.cli.x", "if TYPE_CHECKING:\n    from torch import Tensor"),
        ("asrkit.cli.x", "from asrkit.data.audio import read_audio\nimport torchless"),
        ("asrkit.data.dataset", "import torch"),
        ("asrkit.nn.x", "import torch"),
    ],
)
def test_torch_is_not_found_where_it_may_be(name: str, source: str) -> None:
    assert torch_where_it_must_not_be(make_up(name, source)) == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "def f():\n    from pickle import loads",
        "import joblib.memory",
        "import yaml",
        "from ruamel.yaml import YAML",
        "from torch import hub",
        "import torch\nm = torch.jit.load(path)",
        "import torch\nw = torch.load(path)",
        "from torch import load",
        "import numpy as np\nnp.load(path, allow_pickle=True)",
        "eval('1')",
        "run = exec",
        "__import__('os')",
    ],
)
def test_code_that_data_could_run_is_found(source: str) -> None:
    assert len(code_that_data_could_run(make_up("asrkit.x", source))) == 1


def test_methods_of_such_names_are_not() -> None:
    source = "model.eval()\nspec.loader.exec_module(m)\nfrom safetensors.torch import load, save"
    assert code_that_data_could_run(make_up("asrkit.x", source)) == []


def test_length_and_names() -> None:
    for name in ("asrkit.data.utils", "asrkit.helpers.audio", "asrkit.nn.common"):
        (problem,) = too_long_or_named_for_nothing(make_up(name, ""))
        assert "does not say" in problem
    (problem,) = too_long_or_named_for_nothing(make_up("asrkit.data.x", "\n" * 401))
    assert ":401: more than 400 lines" in problem
    assert too_long_or_named_for_nothing(make_up("asrkit.data.miscellany", "\n" * 400)) == []
