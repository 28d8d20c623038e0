"""
FlowEngine's status words, and the five states they mean.

No page lists the words of a run. ``running`` is seen on the wire; the web page's labels are Chinese; the same
vendor's neighbouring enums use the others (sources: clients in the wild, the vendor's documentation, the vendor's
older client). So the whole family is known, a word is read without regard to case, and a connection can add more.
An unknown word is never taken for success.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class RunState(StrEnum):
    """What a status word means."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    STOPPED = "stopped"
    UNKNOWN = "unknown"

    @property
    def is_final(self) -> bool:
        """Whether a run in this state has ended."""
        return self in (RunState.SUCCEEDED, RunState.FAILED, RunState.STOPPED)


_WORDS: dict[RunState, str] = {
    RunState.RUNNING: (
        "running run init initial initialized created awaiting waiting pending queued queueing scheduled starting "
        "started restarting resuming resumed retrying processing executing submitted active stopping terminating "
        "cancelling canceling killing 运行中 等待中 排队中 初始化 启动中 停止中 恢复中 重启中 重试中 "
        "未开始 待运行 未运行"
    ),
    RunState.SUCCEEDED: (
        "succeeded success successful succeed completed complete finished done 运行成功 成功 已完成 完成"
    ),
    RunState.FAILED: "failed failure fail error errored exception timeout timedout 运行失败 失败 异常 超时 运行超时",
    RunState.STOPPED: (
        "terminated stopped stop cancelled canceled killed aborted abort interrupted "
        "已停止 停止 已终止 终止 已取消 取消 手动停止"
    ),
}

STOPPING_WORDS = frozenset("stopping terminating cancelling canceling killing 停止中".split())
"""The running words that say that a stop has been asked for already."""


_IGNORED = str.maketrans("", "", " _-\t")


def fold(word: object) -> str:
    """Return a status word as it is compared: without regard to case, spaces, hyphens and underscores."""
    return str(word).casefold().translate(_IGNORED)


_MEANINGS = {fold(word): state for state, words in _WORDS.items() for word in words.split()}


class StatusVocabulary:
    """
    The status words of one connection.

    :param more: further words by what they mean; a word given here wins over the built-in meaning.
    """

    def __init__(self, more: Mapping[RunState, Iterable[str | int]] | None = None) -> None:
        self._meanings = _MEANINGS | {fold(word): state for state, words in (more or {}).items() for word in words}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, StatusVocabulary) and self._meanings == other._meanings

    def state_of(self, word: object) -> RunState:
        """
        Return what a status word means.

        :param word: the word as FlowEngine wrote it; a number is read as its digits.
        :return: its state; :attr:`RunState.UNKNOWN` for an unknown word, for nothing, and for a thing that
            isn't a word.
        """
        if not isinstance(word, str | int) or isinstance(word, bool):
            return RunState.UNKNOWN
        return self._meanings.get(fold(word), RunState.UNKNOWN)


def is_stopping(word: object) -> bool:
    """Whether a status word says that a stop has been asked for already and the run is on its way to it."""
    return fold(word) in STOPPING_WORDS
