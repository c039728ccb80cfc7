"""A password on the command line is moved where other users of the host, and Ray's list of jobs, do not see it."""

import os
import sys
from collections.abc import Sequence

STORE_VARIABLE = "NAS_STORE"
_OPTION = "--store"


def hide() -> None:
    """If a store's URL holds a password, become the same command with the URL in the environment instead.

    The process keeps its number. Every user of a host can read the command lines of all processes, and Ray records that
    of each driver; an environment is for its own user alone.
    """
    found = without_secret(sys.argv)
    if found is None:
        return
    arguments, url = found
    before = sys.orig_argv[: len(sys.orig_argv) - len(sys.argv) + 1]  # the interpreter, and what names this program
    os.execve(sys.executable, [*before, *arguments[1:]], {**os.environ, STORE_VARIABLE: url})  # noqa: S606


def without_secret(argv: Sequence[str]) -> tuple[list[str], str] | None:
    """The command line without any `--store`, and the URL of the last, which counts; None if none holds a password."""
    kept, urls, index = list[str](), list[str](), 0
    while index < len(argv):
        word = argv[index]
        if word == _OPTION and index + 1 < len(argv):
            urls.append(argv[index + 1])
            index += 2
        elif word.startswith(f"{_OPTION}="):
            urls.append(word.partition("=")[2])
            index += 1
        else:
            kept.append(word)
            index += 1
    return (kept, urls[-1]) if any(map(_has_password, urls)) else None


def _has_password(url: str) -> bool:
    if "://" not in url or url.startswith("sqlite"):
        return False
    who, at, _ = url.partition("://")[2].rpartition("@")
    return bool(at and ":" in who) or "password=" in url.partition("?")[2]
