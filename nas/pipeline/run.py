"""`run()`: all steps of a study, one after the other; what is done already is not done again."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from nas.evaluators.full import full_weights
from nas.exchange.table import write_csv
from nas.export.files import Trained, export
from nas.pipeline import steps
from nas.pipeline.bench import Bench
from nas.pipeline.kept import load_result, plain, save_result, write_json, write_text
from nas.pipeline.markdown import markdown
from nas.pipeline.report import study_record
from nas.pipeline.steps import Result
from nas.report.compared import read_run
from nas.report.comparison import plot_comparison
from nas.report.content import page_content
from nas.report.html import write_page
from nas.store.records import COLUMNS
from nas.training.checkpoint import read_network
from nas.training.data import load_data

STEPS: Final = ("search", "adapt", "compare", "ablate", "export", "report")


@dataclass(frozen=True, slots=True)
class Ran:
    """What is known after the last step that ran; `record` is None before the report."""

    results: dict[str, Result]
    record: dict[str, Any] | None
    report: Path | None


def run(bench: Bench, until: str = "report") -> Ran:
    """Do the steps up to `until`, of `STEPS`.

    A step that was killed goes on where it was; results are files in the bench's folder, trials in its store.

    Raises:
        SpecError: the reference network is no point of the space.
        NasError: what a step raises; a result that was made from other settings.
    """
    _ = bench.reference_choices  # both are asked for at the end: a mistake is to show at the beginning
    load_data(bench.data, resolution=bench.scale.search.resolution)
    done: dict[str, Result] = {}
    work: dict[str, Callable[[], Result]] = {
        "search": lambda: steps.search_blocks(bench),
        "adapt": lambda: steps.trim(bench, done["search"]),
        "compare": lambda: steps.compare(bench, done["adapt"]),
        "ablate": lambda: steps.ablate(bench, done["search"], done["adapt"]),
        "export": lambda: _export(bench, done["compare"]["found"]),
        "report": lambda: plain(study_record(bench, done)),
    }
    for place, step in enumerate(STEPS[: STEPS.index(until) + 1], 1):
        bench.clock.begin(step)
        bench.say(f"step {place} of {len(STEPS)}: {step}")
        done[step] = work[step]()
        bench.clock.tick()
        bench.clock.end()
    if until != "report":
        return Ran(done, None, None)
    return Ran(done, done["report"], _write_report(bench, done))


def report_folder(bench: Bench) -> Path:
    """Beside the study file, which it documents, for its first scale on its own data without another `--out`.

    Otherwise the folder of the results.
    """
    home, first = bench.study.path.parent, next(iter(bench.study.scales.values()))
    documents = bench.scale == first and bench.data == first.data
    return home if documents and bench.folder.absolute() == (home / first.name).absolute() else bench.folder


def _export(bench: Bench, found: Result) -> Result:
    """The found network with the weights of its first training that did not fail, as ONNX, compared with torch."""
    trainings = zip(bench.scale.train.seeds, found["test_accuracies"], strict=True)
    seed, accuracy = next((seed, accuracy) for seed, accuracy in trainings if accuracy is not None)
    folder = bench.folder / "export"
    inputs = {"network": found["id"], "trainings": bench.trainer.folder.name, "seed": seed}
    path = bench.folder / "export.json"
    if (kept := load_result(path, inputs, anew="seed")) is not None and (folder / kept["file"]).exists():
        return kept
    architecture = steps.architecture_of(found)
    _, network = read_network(full_weights(bench.trainer.folder, architecture, seed))
    resolution = bench.scale.train.resolution
    data = load_data(bench.data, resolution=resolution)
    metrics = {"test_accuracy": accuracy}
    provenance = {"study": bench.study.name, "scale": bench.scale.name, "seed": seed}
    trained = Trained("found", architecture, network, resolution, data, metrics, provenance)
    record = export(trained, "onnx", folder, check=True)
    return save_result(path, inputs, {key: record[key] for key in ("file", "id", "opset", "check")})


def _write_report(bench: Bench, done: dict[str, Result]) -> Path:
    """The report's files; returns the one for people."""
    folder = report_folder(bench)
    record = done["report"]
    names = [one["study"] for one in done["search"]["winners"]] + [done["adapt"]["study"]]
    write_json(folder / "report.json", record)
    write_json(folder / "report.architecture.json", done["compare"]["found"]["architecture"])
    lines = io.StringIO()
    columns = [name for name in COLUMNS if name != "host"]  # the files are for anybody
    write_csv(({name: line[name] for name in columns} for line in bench.store.lines(names)), columns, lines)
    write_text(folder / "report.trials.csv", lines.getvalue())
    write_text(folder / "report.md", markdown(record))
    plot_comparison(record, folder / "report.png")
    write_page(page_content(bench.store, names, runs=[read_run(folder / "report.json")]), folder / "report.html")
    return folder / "report.md"
