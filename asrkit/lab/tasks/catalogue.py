"""From the settings of a task to the task."""

from __future__ import annotations

from asrkit import lab_settings
from asrkit.lab.tasks.adding import AddingTask
from asrkit.lab.tasks.continual_reber import ContinualReberTask
from asrkit.lab.tasks.counting import CountingTask
from asrkit.lab.tasks.long_lag import LongLagTask
from asrkit.lab.tasks.reber import ReberTask
from asrkit.lab.tasks.spike_delays import SpikeDelaysTask
from asrkit.lab.tasks.task import Task
from asrkit.lab.tasks.temporal_order import TemporalOrderTask
from asrkit.lab.tasks.timed_spikes import TimedSpikesTask


def make_task(settings: lab_settings.TaskSettings) -> Task:
    """Make the task that the settings describe."""
    match settings:
        case lab_settings.Reber():
            return ReberTask()
        case lab_settings.ContinualReber():
            return ContinualReberTask(settings)
        case lab_settings.LongLag():
            return LongLagTask(settings)
        case lab_settings.Adding():
            return AddingTask(settings)
        case lab_settings.TemporalOrder():
            return TemporalOrderTask(settings)
        case lab_settings.Counting():
            return CountingTask(settings)
        case lab_settings.SpikeDelays():
            return SpikeDelaysTask(settings)
        case lab_settings.TimedSpikes():
            return TimedSpikesTask(settings)
