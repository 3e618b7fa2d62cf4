"""Start a network from the weights of earlier ones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from asrkit.errors import CheckpointError
from asrkit.nn.model import AcousticModel
from asrkit.train.checkpoint import load_weights, load_weights_into, save_weights

_INITIAL = "initial.safetensors"
_PREFIX = "network."  # the normaliser's statistics are those of this run


def start_from(
    model: AcousticModel, sources: Sequence[str], checkpoints: Path, records: bool
) -> list[str]:
    """Take over every weight of the network whose name and shape agree, one file after the other.

    What comes of it is kept in the run's own folder, so that a run which is resumed before its
    first checkpoint needs the sources no more.

    Parameters
    ----------
    model
        Changed in place.
    sources
        Weight files as `save_weights` writes them; a relative path is taken from the current
        folder. Where two hold a weight, the later one gives it.
    checkpoints
        Folder of the run's weights.
    records
        Whether this process writes there.

    Returns
    -------
    list of str
        What was taken from each source, to be told to the user; empty where nothing was.

    Raises
    ------
    CheckpointError
        If a source is missing or damaged, or none of its weights agrees.
    """
    recorded = checkpoints / _INITIAL
    if not sources:
        return []
    if recorded.exists():
        load_weights_into(model, load_weights(recorded), recorded)
        return [f"first weights: from {recorded}"]
    remarks = []
    state = model.state_dict()
    own = {name for name in state if name.startswith(_PREFIX)}
    for source in sources:
        path = Path(source)
        offered = load_weights(path)
        taken = {
            name: value
            for name, value in offered.items()
            if name in own and value.shape == state[name].shape
        }
        if not taken:
            raise CheckpointError(
                f"{path}: train.initial_weights: none of its {len(offered)} weights has the name "
                "and shape of one of this network's; check [model], or name another file"
            )
        state.update(taken)
        remarks.append(f"first weights: {len(taken)} of {len(own)} tensors from {path}")
    load_weights_into(model, state, recorded)
    if records:
        save_weights(recorded, model.state_dict())
    return remarks
