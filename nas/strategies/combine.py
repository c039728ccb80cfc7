"""Cuts of several widths made together: those that cost the least loss for the time that they save."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nas.network.widths import with_widths
from nas.strategies.cuts import Cut, Cutter, Widths


@dataclass(frozen=True, slots=True)
class Option:
    """A cut of one width, what it saves, and about how much the loss rises by it."""

    index: int  # of the width
    cut: Cut
    saved_ms: float
    loss: float


def combinations(cutter: Cutter, base: Widths, options: Sequence[Option], target_ms: float, count: int) -> list[Cut]:
    """Up to `count` networks that take at most `target_ms`, or as little as the options allow, by cuts that are cheap.

    The first one is what the estimates say is best. As they are least right for cuts that cost much, each of the others
    does without one of the costliest cuts of the first.
    """
    first = _combined(cutter, base, options, target_ms, None)
    costly = sorted(first, key=lambda index: first[index].loss, reverse=True)
    others = [_combined(cutter, base, options, target_ms, index) for index in costly[: count - 1]]
    found = [_cut(cutter, base, chosen) for chosen in (first, *others) if chosen]
    return list({cut.architecture: cut for cut in found}.values())


def _combined(
    cutter: Cutter, base: Widths, options: Sequence[Option], target_ms: float, without: int | None
) -> Mapping[int, Option]:
    """One option after the other, always the one with the least loss per time, until the target is met or none is left.

    Loss and time of different widths add up, which is what an estimate is. A deeper cut replaces one of the same width.
    """
    chosen = dict[int, Option]()
    free = [option for option in options if option.index != without]
    while not chosen or _cut(cutter, base, chosen).latency_ms > target_ms:
        deeper = [option for option in free if option.saved_ms > _saved(chosen, option.index)]
        if not deeper:
            break
        best = min(deeper, key=lambda option: _price(option, chosen.get(option.index)))
        chosen[best.index] = best
    return chosen


def _saved(chosen: Mapping[int, Option], index: int) -> float:
    return chosen[index].saved_ms if index in chosen else 0.0


def _price(option: Option, now: Option | None) -> float:
    """Loss per millisecond of going on to this option."""
    loss, saved_ms = (
        (option.loss, option.saved_ms) if now is None else (option.loss - now.loss, option.saved_ms - now.saved_ms)
    )
    return loss / saved_ms


def _cut(cutter: Cutter, base: Widths, chosen: Mapping[int, Option]) -> Cut:
    """The network with all of them; it is named for the one that saves most."""
    widths = {**base, **{index: option.cut.channels for index, option in chosen.items()}}
    architecture = with_widths(cutter.seed, widths)
    main = max(chosen.values(), key=lambda option: option.saved_ms).cut
    return Cut(widths, architecture, cutter.latency_ms(architecture), main.width, main.channels, len(chosen) - 1)
