"""Types of arguments that benchmarks share."""

import argparse


def positive(text: str) -> int:
    """A whole number from 1 on; argparse says in one line what it is not."""
    if (value := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{value} is not above 0")
    return value
