"""Who drives a study: a process, named "host:pid:start" so that a later process with its pid is not taken for it."""

import os
import socket
from pathlib import Path

_STAT = "/proc/{}/stat"  # proc(5): the state is field 3, the start in clock ticks since boot is field 22


def this_process() -> str:
    """The owner string of the calling process."""
    return f"{socket.gethostname()}:{os.getpid()}:{_start(os.getpid())}"


def is_dead(owner: str) -> bool:
    """Whether `owner`, as `this_process` named it, has ended; False where that cannot be known from this host."""
    host, pid, start = _parts(owner)
    if host != socket.gethostname() or not pid.isdecimal():
        return False
    return _start(int(pid)) != start


def is_alive(owner: str) -> bool:
    """Whether `owner` is a process of this host that still runs, or is only suspended."""
    return _parts(owner)[0] == socket.gethostname() and not is_dead(owner)


def describe(owner: str) -> str:
    """Words for an error message.

    >>> describe("phoenix:4711:88")
    'process 4711 on phoenix'
    """
    host, pid, _ = _parts(owner)
    return f"process {pid} on {host}"


def host_and_pid(owner: str) -> tuple[str, int]:
    """Where `owner` runs, and the number of its process; -1 for a name of another kind."""
    host, pid, _ = _parts(owner)
    return host, int(pid) if pid.isdecimal() else -1


def _parts(owner: str) -> tuple[str, str, str]:
    host, _, rest = owner.partition(":")
    pid, _, start = rest.partition(":")
    return host, pid, start


def _start(pid: int) -> str:
    """When the process `pid` started; empty if there is none, "0" if a system without /proc cannot say."""
    if not Path(_STAT.format("self")).exists():
        return "0" if _is_there(pid) else ""
    try:
        stat = Path(_STAT.format(pid)).read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""
    state, *fields = stat.rpartition(")")[2].split()  # the name before, in parentheses, may hold spaces
    return "" if state == "Z" else fields[18]  # a zombie has ended and only waits for its parent to notice


def _is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)  # signal 0 only asks
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
