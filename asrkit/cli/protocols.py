"""`asrkit protocols`: what the scoring protocols do."""

from __future__ import annotations

from typing import Annotated

import typer


def protocols_command(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="A protocol, to print its every rule.")
    ] = None,
) -> None:
    """List the scoring protocols, each with its id, or every rule of one.

    The id changes when a rule does, so that two rates of the same id were made in the same way.
    """
    from asrkit.score.protocol import load_protocol, protocol_names

    if name is None:
        for known in protocol_names():
            protocol = load_protocol(known)
            typer.echo(f"{protocol.id}\t{protocol.description}")
        return
    protocol = load_protocol(name)
    for line in (*protocol.notes(), *protocol.details()):
        typer.echo(line)
