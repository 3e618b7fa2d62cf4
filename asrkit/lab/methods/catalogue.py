"""From the name of a method to a learner."""

from __future__ import annotations

from asrkit.lab.methods.bptt import bptt_gradient
from asrkit.lab.methods.descent import Descent
from asrkit.lab.methods.evolution import Evolution
from asrkit.lab.methods.learner import Learner
from asrkit.lab.methods.rtrl import rtrl_gradient
from asrkit.lab.network import LabNetwork
from asrkit.lab.tasks.task import Task
from asrkit.lab_settings import Experiment, MethodName


def make_learner(
    method: MethodName, network: LabNetwork, task: Task, settings: Experiment, seed: int
) -> Learner:
    """Make the learner of an experiment's network."""
    match method:
        case "evolution":
            return Evolution(network, task, settings.population, settings.initial_std, seed)
        case "truncated_bptt":
            network.cell.truncate_frames = settings.truncate_frames
    gradient = rtrl_gradient if method == "rtrl" else bptt_gradient
    return Descent(network, task, gradient, settings.learning_rate, settings.clip_norm)
