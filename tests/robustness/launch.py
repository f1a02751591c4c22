"""The command line over the training process of the tests."""

import os
from functools import partial

from autopeft import supervisor
from autopeft.api import opened
from autopeft.cli import main
from tests.nursery import SOCKET, Forked

opened.WORK = "tests.robustness.worker:work"
if SOCKET in os.environ:
    supervisor.spawn = partial(Forked, os.environ[SOCKET])

if __name__ == "__main__":
    main()
