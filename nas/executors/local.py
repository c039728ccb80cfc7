"""`LocalExecutor`: trials in worker processes of this machine."""

import multiprocessing
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import final

from nas.executors.outcome import Message, ending_of, require_survivors
from nas.trial import Evaluator, Metrics, Trial, TrialQueue

_SPAWN = multiprocessing.get_context("spawn")  # a fork would copy the parent's threads in an unknown state
_POLL_SECONDS = 1.0
_END_SECONDS = 5.0  # for a worker to end by itself before it is killed


@dataclass(slots=True)
class _Worker:
    """The parent's end of one worker process."""

    process: SpawnProcess
    pipe: Connection
    trial: Trial | None = None


@final
@dataclass(frozen=True, slots=True)
class LocalExecutor:
    """Runs up to `workers` trials at once, each in a process that lives as long as the search.

    A worker that dies (killed, out of memory) is replaced and its trial told as lost. Ctrl-C ends the workers.
    """

    workers: int

    def run(self, queue: TrialQueue, evaluator: Evaluator) -> None:
        """Run all trials of `queue`; fills `nas.trial.Executor`.

        Raises:
            NasError: what an evaluator raised, such as a full disk; its trial is neither told nor lost.
            StudyError: workers die again and again without finishing a trial.
        """
        with _pool() as pool:
            deaths = 0
            while True:
                self._hand_out(queue, evaluator, pool)
                busy = [worker for worker in pool if worker.trial is not None]
                if not busy:
                    return
                ready = set(wait([worker.pipe for worker in busy], timeout=_POLL_SECONDS))
                for worker in busy:
                    if worker.pipe in ready:
                        alive = _listen(worker, queue)
                        deaths = 0 if alive and worker.trial is None else deaths + (not alive)
                        if not alive:
                            pool.remove(worker)
                require_survivors(deaths, self.workers, see="the messages above")
                queue.idle()

    def _hand_out(self, queue: TrialQueue, evaluator: Evaluator, pool: list[_Worker]) -> None:
        """Give every free worker a trial, starting workers up to the number allowed."""
        while True:
            free = next((worker for worker in pool if worker.trial is None), None)
            if free is None and len(pool) >= self.workers:
                return
            trial = queue.ask()
            if trial is None:
                return
            if free is None:
                free = _start(evaluator)
                pool.append(free)
            free.trial = trial
            try:
                free.pipe.send(trial)
            except OSError:  # it died while it waited
                pool.remove(free)
                queue.lost(trial, _epitaph(free))
                continue
            queue.placed(trial, socket.gethostname(), free.process.pid or -1)


def _start(evaluator: Evaluator) -> _Worker:
    ours, theirs = _SPAWN.Pipe()
    process = _SPAWN.Process(target=_work, args=(theirs, evaluator), daemon=True)
    with _without_interrupt():
        process.start()
    theirs.close()  # so that reading fails when the worker is gone
    return _Worker(process, ours)


@contextmanager
def _without_interrupt() -> Iterator[None]:
    """Ctrl-C reaches the whole group of processes, but a child started here ignores it: its parent decides."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _listen(worker: _Worker, queue: TrialQueue) -> bool:
    """Take one message of the worker; False if it is dead."""
    assert worker.trial is not None
    try:
        message: Message = worker.pipe.recv()
    except (EOFError, OSError):
        trial, worker.trial = worker.trial, None
        queue.lost(trial, _epitaph(worker))
        return False
    match message:
        case ("report", epoch, metrics):
            stop = queue.report(worker.trial, epoch, metrics)
            with suppress(OSError):  # it died meanwhile; the next reading says so
                worker.pipe.send(stop)
        case ("ended", outcome):
            trial, worker.trial = worker.trial, None
            queue.tell(trial, outcome)
        case ("stuck", error):
            raise error
    return True


def _epitaph(worker: _Worker) -> str:
    worker.process.join(_END_SECONDS)
    code = worker.process.exitcode
    how = f"killed by {signal.Signals(-code).name}" if code is not None and code < 0 else f"exit code {code}"
    return f"worker process {worker.process.pid} died ({how})"


@contextmanager
def _pool() -> Iterator[list[_Worker]]:
    """A list of workers, all of which are ended on the way out."""
    pool: list[_Worker] = []
    try:
        yield pool
    finally:
        for worker in pool:
            worker.pipe.close()  # an idle worker reads the end and leaves
            if worker.trial is not None:
                worker.process.terminate()
        for worker in pool:
            worker.process.join(_END_SECONDS)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()


def _work(pipe: Connection, evaluator: Evaluator) -> None:
    """The life of a worker process: trials in, reports and outcomes out, until the pipe closes."""
    threading.Thread(target=_end_with_parent, daemon=True).start()

    def report(epoch: int, metrics: Metrics) -> bool:
        pipe.send(("report", epoch, metrics))
        return bool(pipe.recv())

    while True:
        try:
            trial = pipe.recv()
        except (EOFError, OSError):
            return
        message = ending_of(evaluator, trial, report)
        try:
            pipe.send(message)
        except OSError:
            return


def _end_with_parent() -> None:
    """A worker whose search was killed must not go on burning the processor."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
