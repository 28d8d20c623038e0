"""How a task waits for its run, and whether it stops it."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_provider_flowengine.protocol.monitor import PollOptions, describe_limit


@dataclass(frozen=True)
class RunOptions:
    """
    How a task waits for its run, and whether it stops it; times are in seconds, None is without end.

    :param wait_for_completion: whether the task ends when the run has ended.
    :param deferrable: whether to wait in the triggerer.
    :param poll_interval: time between two polls at most.
    :param timeout: time that the run may take, counted from the try's start.
    :param execution_timeout: time that Airflow allows the task.
    :param cancel_on_kill: whether the run is stopped when the task ends before it.
    :param durable: whether a later try reconnects to the run of an earlier one.
    :param unreachable_timeout: time that FlowEngine may give no usable answer while the run is waited for.
    """

    wait_for_completion: bool
    deferrable: bool
    poll_interval: float
    timeout: float | None
    execution_timeout: float | None
    cancel_on_kill: bool
    durable: bool
    unreachable_timeout: float

    @property
    def execution_limit(self) -> str:
        """What ``execution_timeout`` is called in an error."""
        length = self.execution_timeout
        return "execution_timeout" if length is None else describe_limit("execution_timeout", length)

    def poll_options(self, started_at: float) -> PollOptions:
        """
        Return how the run is waited for.

        Deferred, ``execution_timeout`` counts too, since Airflow doesn't enforce it then; in the worker Airflow does.

        :param started_at: when the try was started, in seconds since the epoch.
        """
        limits = {"timeout": self.timeout, "execution_timeout": self.execution_timeout if self.deferrable else None}
        given = [(seconds, name) for name, seconds in limits.items() if seconds is not None]
        seconds, name = min(given, default=(None, ""))
        options = PollOptions(self.poll_interval, unreachable_timeout=self.unreachable_timeout)
        return options.limited(name, seconds, started_at)
