"""`report.md`: the record of a study for people."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from nas.pipeline.networks import label

Record = Mapping[str, Any]


def markdown(record: Record) -> str:
    """The whole report; every figure in it was measured or predicted by the run that wrote it."""
    parts = [
        _head(record),
        _networks(record),
        _claims(record),
        _blocks(record),
        _ablations(record),
        _agreement(record),
        _path(record),
        _how(record),
    ]
    return "\n\n".join(parts) + "\n"


def _head(record: Record) -> str:
    seeds, train = len(record["recipe"]["train"]["seeds"]), record["recipe"]["train"]
    images = "all training images" if train["train_images"] is None else f"{train['train_images']:,} training images"
    return (
        f"# {record['study']}, scale {record['scale']}\n\n"
        f"Written by `nas run`. Block search for {record['target']} from {record['target_ms']:g} ms, NetAdapt to "
        f"{record['budget_ms']:.2f} ms, then all networks trained from scratch on {record['data']} by one recipe: "
        f"{train['epochs']} epochs of {images} at {train['resolution']} px, {seeds} seeds. Latencies are "
        f"predictions of the model of {record['target']} (version {record['latency_version']}); accuracies are "
        f"measured on the test images, which search and NetAdapt do not see. Intervals hold with 95 %, if accuracies "
        f"are normal."
    )


def _networks(record: Record) -> str:
    rows = [
        [
            label(one["name"], one),
            f"{_percent(one['test_accuracy']['mean'])} +- {_percent(_half(one))}",
            f"{one['latency_ms']:.2f}",
            f"{one['macs'] / 1e6:.0f}",
            f"{one['params'] / 1e6:.2f}",
        ]
        for one in record["networks"]
    ]
    columns = ("network", "test accuracy, %", f"{record['target']}, ms", "MAdds, M", "params, M")
    picture = "![Test accuracy of each network, and what leaving something out changes](report.png)"
    return f"## Networks\n\n{table(columns, rows)}\n\n{picture}"


def _claims(record: Record) -> str:
    lines = [
        f"- against {claim['against']}: {_signed(claim['difference'])} points ({_signed(claim['low'])} to "
        f"{_signed(claim['high'])}) at {claim['latency_difference_ms']:+.2f} ms, {_verdict(claim)}"
        for claim in record["claims"]
    ]
    return "The found network\n\n" + "\n".join(lines)


def _verdict(claim: Record) -> str:
    if claim["ahead"]:
        return "**ahead** by more than the interval"
    return "**behind** by more than the interval" if claim["behind"] else "no difference that these seeds could show"


def _blocks(record: Record) -> str:
    rows = [
        [f"{row['size']}", *_cells(row["found"]), *_cells(row["reference"])]
        for row in record["blocks"]
    ]  # fmt: skip
    kinds = ("kernel", "expansion", "SE", "act", "filters")
    columns = ("map", *(f"found: {kind}" for kind in kinds), *(f"{record['reference']}: {kind}" for kind in kinds))
    return (
        "## Block by block\n\nBlocks are beside each other by the size of their output and their order; the size 1 is "
        "behind the pooling. Filters are the inner width, then the output.\n\n" + table(columns, rows)
    )


def _cells(block: Record | None) -> list[str]:
    if block is None:
        return ["-"] * 5
    inner = "" if block["mid_channels"] is None else f"{block['mid_channels']}, "
    return [
        _or_dash(block["kernel"]),
        f"{block['expand']:g}" if block["op"] in ("mbconv", "sepconv") else block["op"],
        "SE" if block["se"] else "-",
        block["act"],
        f"{inner}{block['channels']}",
    ]


def _ablations(record: Record) -> str:
    rows = [
        [
            label(one["without"], one),
            _percent(one["test_accuracy"]["mean"]),
            f"{_signed(one['accuracy_change'])} ({_signed(one['change_low'])} to {_signed(one['change_high'])})",
            f"{one['latency_ms']:.2f}",
            f"{one['latency_change_ms']:+.2f}",
        ]
        for one in record["ablations"]["rows"]
    ]
    columns = ("without", "test accuracy, %", "change, points", f"{record['target']}, ms", "change, ms")
    return (
        f"## Ablations\n\nOf {record['ablations']['of']}; those of NetAdapt are of the found network: as the search "
        f"left it, and with all its widths cut by one factor to the same latency.\n\n" + table(columns, rows)
    )


def _agreement(record: Record) -> str:
    rows = [
        [one["kind"], one["choices"], _share(one["found"]), _share(one["chance"]),
         f"{_share(one['low'])} to {_share(one['high'])}"]
        for one in record["agreement"]
    ]  # fmt: skip
    count, different = len(record["search"]), len({one["id"] for one in record["search"]})
    return (
        f"## Agreement with {record['reference']}\n\nShare of choices that are those of {record['reference']} before "
        f"its filters were trimmed: mean of {count} independent searches, and of random networks of the latencies that "
        f"the searches look at. A share inside the last column, which is where 95 % of the means of {different} random "
        f"networks lie (as many as the searches found different ones), is what chance gives.\n\n"
        + table(("choice", "of them", "found", "random", "by chance"), rows)
    )


def _path(record: Record) -> str:
    steps = record["path"]
    rows = [
        [f"trial:{one['trial']}", one["cut"] or "(the search's winner, trained)", _or_dash(one["channels"]),
         one["others"] or "-", _percent(one["accuracy"]), f"{one['latency_ms']:.2f}"]
        for one in steps
    ]  # fmt: skip
    columns = ("trial", "cut", "to", "others cut", "held-out accuracy, %", "ms")
    return (
        f"## NetAdapt's path\n\n{len(steps) - 1} steps. Widths cut in the same step are counted as others; "
        f"`report.html` names them.\n\n" + table(columns, rows)
    )


def _how(record: Record) -> str:
    seconds = record["seconds"]
    times = ", ".join(f"{step} {_minutes(taken)}" for step, taken in seconds.items())
    searches = "; ".join(
        f"trial:{one['trial']} of {one['study']}: {_percent(one['accuracy'])} % on held-out images, "
        f"{one['latency_ms']:.1f} ms, reward {one['reward']:.4f}"
        for one in record["search"]
    )
    versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
    return (
        f"## How it came about\n\n- Winners of the searches: {searches}.\n"
        f"- Wall time, {_minutes(sum(seconds.values()))} in all: {times}.\n- Versions: {versions}.\n"
        f"- Beside this file: `report.json` with all figures, `report.html`, a page of all trials, "
        f"`report.trials.csv`, a table of them, `report.png`, the picture above, and `report.architecture.json`, the "
        f"found network, which every command of nas takes."
    )


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table of Markdown."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def _half(one: Record) -> float:
    return float(one["test_accuracy"]["high"] - one["test_accuracy"]["mean"])


def _percent(share: float) -> str:
    return f"{100 * share:.2f}"


def _signed(share: float) -> str:
    return f"{100 * share:+.2f}"


def _share(share: float | None) -> str:
    return "-" if share is None else f"{share:.0%}"


def _or_dash(value: object) -> str:
    return "-" if value is None else str(value)


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
