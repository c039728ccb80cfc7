"""`LazyGroup`: commands that are imported when they are called, so that `--help` imports none of them."""

from collections.abc import Mapping
from importlib import import_module

import click

Commands = Mapping[str, tuple[str, str, str]]
"""By name: module, attribute, and the one line of help that the group shows."""


class LazyGroup(click.Group):
    """A group that knows of its commands where they are, and what they are for."""

    def __init__(self, *args: object, lazy: Commands, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]  # click's own
        self._lazy = lazy

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names, in the order of the table."""
        return list(self._lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, imported now; None for an unknown name."""
        if cmd_name not in self._lazy:
            return None
        module, attribute, _ = self._lazy[cmd_name]
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The table's lines of help."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, _, text) in self._lazy.items()])
