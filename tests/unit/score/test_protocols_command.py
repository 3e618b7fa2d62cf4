"""`asrkit protocols` on its own small app."""

from __future__ import annotations

import typer
from typer.testing import CliRunner

from asrkit.cli.protocols import protocols_command
from asrkit.errors import UsageError
from asrkit.score.protocol import load_protocol, protocol_names


def run(*arguments: str):
    app = typer.Typer()
    app.command("protocols")(protocols_command)
    return CliRunner().invoke(app, list(arguments))


def test_all_are_listed_with_their_ids() -> None:
    rows = [line.split("\t") for line in run().stdout.splitlines()]
    protocols = [load_protocol(name) for name in protocol_names()]
    assert rows == [[protocol.id, protocol.description] for protocol in protocols]


def test_every_rule_of_one() -> None:
    timit39 = load_protocol("timit39")
    lines = run("timit39").stdout.splitlines()
    assert lines == [*timit39.notes(), *timit39.details()]
    assert len([line for line in lines if line.startswith("class ")]) == 39
    assert isinstance(run("x").exception, UsageError)
