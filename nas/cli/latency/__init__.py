"""`nas latency`: devices, estimates and measurements; a module for each command."""

import click

from nas.cli.lazy import LazyGroup

_COMMANDS = {
    "list": ("nas.cli.latency.listing", "list_", "List the devices whose latency can be estimated."),
    "estimate": ("nas.cli.latency.estimate", "estimate", "Predict the latency of networks."),
    "measure": ("nas.cli.latency.measure", "measure", "Measure the ops of a space, here or on a board."),
    "validate": ("nas.cli.latency.validate", "validate", "Compare estimates with whole networks, measured."),
    "steps": ("nas.cli.latency.steps", "steps", "Find the widths at which latency really falls."),
    "fit": ("nas.cli.latency.fit", "fit", "Make a target of measured networks."),
}


@click.group(cls=LazyGroup, lazy=_COMMANDS)
def latency() -> None:
    """List devices; estimate or measure latency."""
