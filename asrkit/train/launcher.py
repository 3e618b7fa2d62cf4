"""`torchrun` without its warnings and tracebacks: the process that fails has said why.

Run as `python -m asrkit.train.launcher`, with the arguments of torchrun.
"""

from __future__ import annotations

import logging
import sys

from torch.distributed import run
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

if __name__ == "__main__":
    logging.disable(logging.WARNING)  # such as each signal that it passes on
    try:
        run.main()
    except (SignalException, ChildFailedError):
        sys.exit(1)
