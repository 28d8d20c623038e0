"""What the command's exit codes mean."""

OK = 0
"""Done; for ``plan``: nothing differs."""

ERROR = 1
"""Something is wrong, or not all was done; wrong arguments, too."""

DIFFERENCES = 2
"""``plan``: something differs."""

RUN_NOT_SUCCEEDED = 3
"""``run --wait``, ``resume --wait``, ``show --watch``: the run failed, was stopped, or can't be followed any more."""

START_UNCONFIRMED = 4
"""``run``: it cannot be determined whether the pipeline was started."""

INTERRUPTED = 130
"""Ctrl-C."""
