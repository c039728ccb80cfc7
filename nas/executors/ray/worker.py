"""`Worker`: the actor in which trials are evaluated, one after the other."""

import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Thread

from nas import __version__
from nas.executors.outcome import Message, ending_of
from nas.trial import Evaluator, Metrics, Trial


@dataclass(frozen=True, slots=True)
class Place:
    """Where a worker lives."""

    host: str
    pid: int
    version: str  # of nas

    def __str__(self) -> str:
        return f"worker process {self.pid} on {self.host}"


class Worker:
    """Hands out one message per call, so that the driver, who makes the calls, waits for any of many workers.

    The evaluation is a thread of its own: an epoch's report waits there until `go_on` brings the answer.
    """

    def __init__(self, evaluator: Evaluator, setup: Callable[[], object] | None = None) -> None:
        """`setup` is called once, before the first trial: it puts what all trials need at hand."""
        self._evaluator = evaluator
        self._messages: SimpleQueue[Message] = SimpleQueue()
        self._answers: SimpleQueue[bool] = SimpleQueue()
        if setup is not None:
            setup()

    def place(self) -> Place:
        """Answers when the worker is ready."""
        return Place(socket.gethostname(), os.getpid(), __version__)

    def alive(self) -> bool:
        """Answers also while a trial is evaluated."""
        return True

    def begin(self, trial: Trial) -> Message:
        """Start the evaluation; returns its first message."""
        Thread(target=self._evaluate, args=(trial,), daemon=True).start()
        return self._messages.get()

    def go_on(self, stop: bool) -> Message:
        """Answer a report; returns the next message."""
        self._answers.put(stop)
        return self._messages.get()

    def _evaluate(self, trial: Trial) -> None:
        def report(epoch: int, metrics: Metrics) -> bool:
            self._messages.put(("report", epoch, metrics))
            return self._answers.get()

        self._messages.put(ending_of(self._evaluator, trial, report))
