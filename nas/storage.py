"""Where weights lie: a folder, or a URL of a file system that several hosts reach, such as `s3://bucket/weights`."""

import os
from contextlib import suppress
from pathlib import Path
from typing import cast

from nas.errors import NasError


def open_folder(text: str) -> Path:
    """The folder of that path or URL; it need not exist. What a URL gives is used as a path, but is no `pathlib.Path`.

    Raises:
        NasError: the URL's file system is unknown, or its package is not installed.
    """
    if "://" not in text:
        return Path(text).absolute()
    try:
        from upath import UPath  # noqa: PLC0415 - an extra

        return cast(Path, UPath(text))
    except (ImportError, ValueError) as error:
        raise NasError(
            f"--storage {text}: {error}; expected a folder, or a URL whose file system is installed on every host "
            f"(pip install 'nas[ray]', and s3fs for s3://, gcsfs for gs://, adlfs for az://)"
        ) from None


def is_local(path: Path) -> bool:
    """Whether it is a path of this host's file system, mounted ones included."""
    return isinstance(path, Path)


def write_bytes(path: Path, data: bytes, what: str = "file") -> None:
    """Write a file in one step.

    Raises:
        NasError: it cannot be written; a former one stays as it was.
    """
    if is_local(path):
        _write_local(path, data, what)
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)  # object stores show a file when it is complete
    except Exception as error:  # each file system has its own
        raise NasError(f"{path}: {what} not saved: {_line(error)}; mend that and run the same command again") from None


def read_bytes(path: Path) -> bytes:
    """The content of a file behind a URL.

    Raises:
        NasError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except Exception as error:
        raise NasError(f"{path}: {_line(error)}") from None


def _write_local(path: Path, data: bytes, what: str) -> None:
    scratch = path.with_name(f".{path.name}.{os.getpid()}.partial")  # two processes do not share it
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with scratch.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(path)
    except OSError as error:
        raise NasError(
            f"{path}: {what} not saved: {error.strerror}; mend that and run the same command again"
        ) from None
    finally:
        with suppress(OSError):
            scratch.unlink(missing_ok=True)


def _line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
