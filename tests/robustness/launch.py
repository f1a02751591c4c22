"""The command line over the training process of the tests."""

from autopeft.api import searching
from autopeft.cli import main

searching.WORK = "tests.robustness.worker:work"

if __name__ == "__main__":
    main()
