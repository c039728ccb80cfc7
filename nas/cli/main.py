"""`nas`: the group of all commands, which imports a command only when it is called."""

import errno
import os
import select
import sys
from typing import Any

import click

from nas import __version__
from nas.cli import secret_arguments
from nas.cli.lazy import LazyGroup
from nas.errors import NasError

# name: (module, attribute, one line of help); kept here so that `nas --help` imports none of them
_COMMANDS = {
    "search": ("nas.cli.search", "search", "Find the most accurate network within a latency budget."),
    "adapt": ("nas.cli.adapt", "adapt", "Trim a network's widths to a latency budget (NetAdapt)."),
    "run": ("nas.cli.run", "run", "Run a study file: search, NetAdapt, comparison, ablations, report."),
    "pareto": ("nas.cli.pareto", "pareto", "Show the Pareto front of the recorded trials."),
    "report": ("nas.cli.report", "report", "Write what studies found as a page or a picture."),
    "status": ("nas.cli.status", "status", "Show how far a study is, who works on it, and when it will end."),
    "trials": ("nas.cli.trials", "trials", "List, show or export the recorded trials."),
    "train": ("nas.cli.train", "train", "Train one network longer and measure it on the test set."),
    "export": ("nas.cli.export", "export", "Write a trained network as ONNX, int8 ONNX, weights or for timm."),
    "show": ("nas.cli.show", "show", "Show a network: blocks, MAdds, params, memory, latency."),
    "space": ("nas.cli.space", "space", "List, show or sample search spaces."),
    "latency": ("nas.cli.latency", "latency", "List devices; estimate or measure latency."),
}


_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class _Nas(LazyGroup):
    """The group, when it knows what becomes of its output."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; a reader that has seen enough, such as head, is no mistake, a full disk is one line."""
        try:
            return super().invoke(ctx)
        except SystemExit as end:  # rich's answer to such a reader
            if not isinstance(end.__context__, BrokenPipeError):
                raise
        except OSError as error:
            if error.filename is not None or not (error.errno in _FULL or _reader_gone(error)):
                raise
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what its buffer still holds
            if error.errno in _FULL:
                raise NasError(f"the output was not written: {error.strerror}") from None
        return 0


def _reader_gone(error: OSError) -> bool:
    """Whether the pipe that broke is stdout, not one to a worker."""
    if error.errno != errno.EPIPE:
        return False
    stdout = select.poll()
    stdout.register(sys.stdout.fileno(), 0)
    return any(event & select.POLLERR for _, event in stdout.poll(0))


@click.group(cls=_Nas, lazy=_COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="nas")
def nas() -> None:
    """Find the most accurate mobile network that meets a latency budget on a real device.

    Start with: nas search --target pixel --budget 60ms
    """


def main() -> None:
    """Entry point: a mistake of the user's is one line on stderr and exit code 2."""
    secret_arguments.hide()
    try:
        code = nas.main(prog_name="nas", standalone_mode=False)
    except NasError as error:
        _fail(str(error), 2)
    except click.Abort:
        _fail("interrupted", 130)
    except click.exceptions.NoArgsIsHelpError as error:  # `nas latency` alone: its help is the answer
        error.show()
        sys.exit(error.exit_code)
    except click.ClickException as error:
        _fail(f"{error.format_message()}{_help_of(error)}", error.exit_code)
    sys.exit(code if isinstance(code, int) else 0)


def _help_of(error: click.ClickException) -> str:
    """Where the command that was called wrongly explains itself."""
    context = error.ctx if isinstance(error, click.UsageError) else None
    return f" See: {context.command_path} --help" if context else ""


def _fail(message: str, code: int) -> None:
    click.echo(f"nas: {' '.join(message.split())}", err=True)
    sys.exit(code)
