"""All that a page shows, as plain data that becomes JSON: trials in columns, networks as places, and provenance."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np

from nas import __version__, pareto
from nas.architecture import Architecture
from nas.errors import NasError, StudyError
from nas.report.adapt_path import read_path
from nas.report.commands import command
from nas.report.drawing import PLACE, Device, Drawings, load_device, short
from nas.report.kinds import Kind, judge, kind, largest_budget
from nas.report.measured import measured_rows
from nas.report.portable import portable
from nas.report.references import reference_records
from nas.store.records import StoredTrial, StudyRecord
from nas.store.store import Store

Plain = dict[str, Any]


@dataclass(frozen=True)
class _Studies:
    """The studies of a page with their trials, in one order that all indices of the page count in."""

    records: Sequence[StudyRecord]
    trials: Sequence[Sequence[StoredTrial]]

    @property
    def flat(self) -> list[tuple[int, StoredTrial]]:
        """Place of the study and trial, study after study."""
        return [(place, stored) for place, group in enumerate(self.trials) for stored in group]

    @property
    def networks(self) -> Iterator[Architecture]:
        """Of all trials."""
        return (stored.trial.proposal.architecture for _, stored in self.flat)


def page_content(
    store: Store, names: Sequence[str], measured: Sequence[Mapping[str, Any]] = (), runs: Sequence[Plain] = ()
) -> Plain:
    """The studies of these names, or all: what the page's script reads.

    `measured` are what `read_measured` gives, `runs` what `read_run` does.

    Raises:
        StudyError: no such study.
        NasError: no study, or no trial in any of them.
    """
    studies = _read(store, names)
    kinds: dict[Kind, list[int]] = {}
    for place, record in enumerate(studies.records):
        kinds.setdefault(kind(record), []).append(place)
    devices = [load_device(target) for target in dict.fromkeys(of.device for of in kinds if of.device is not None)]
    drawings = {device.target: Drawings(device) for device in devices}
    trials = _trial_columns(studies, drawings)
    return {
        "nas": __version__,
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "kinds": [_kind_record(of, places, studies, trials, drawings) for of, places in kinds.items()],
        "studies": [
            _study_record(record, group, runs) for record, group in zip(studies.records, studies.trials, strict=True)
        ],
        "trials": trials,
        "runs": list(runs),
        "place": PLACE,
        "devices": {
            device.target: {
                **_device_record(device, drawings[device.target]),
                "measured": measured_rows(device, studies.networks, measured),
            }
            for device in devices
        },
    }


def _read(store: Store, names: Sequence[str]) -> _Studies:
    known = {record.name: record for record in store.studies()}
    for name in names:
        if name not in known:
            raise StudyError(f"no study {name!r} in the database; `nas trials list` shows what there is")
    records = [known[name] for name in dict.fromkeys(names)] or list(known.values())
    studies = _Studies(records, [store.trials(record.name) for record in records])
    if not studies.flat:
        raise NasError("no trial to report; `nas search` makes some")
    return studies


def _trial_columns(studies: _Studies, drawings: Mapping[str, Drawings]) -> Plain:
    """One list for each column, and the networks, of which several trials may be of one."""
    networks: dict[tuple[str, str], int] = {}
    drawn: list[list[int] | None] = []
    rows = []
    for place, stored in studies.flat:
        network = stored.trial.proposal.architecture
        target = str(studies.records[place].settings.get("target"))
        if (target, network.id) not in networks:
            networks[target, network.id] = len(drawn)
            drawn.append(drawings[target].draw(network) if target in drawings else None)
        rows.append(_trial_row(place, stored, networks[target, network.id]))
    return {**{key: [row[key] for row in rows] for key in rows[0]}, "networks": drawn}


def _trial_row(place: int, stored: StoredTrial, network: int) -> Plain:
    trial = stored.trial
    metrics = trial.outcome.metrics if trial.outcome else {}
    return {
        "id": stored.id,
        "study": place,
        "number": trial.number,
        "told": trial.told,
        "state": trial.state.value,
        "accuracy": short(trial.accuracy),
        "low": short(metrics.get("accuracy_low")),
        "high": short(metrics.get("accuracy_high")),
        "test": short(metrics.get("test_accuracy")),
        "latency": short(stored.latency_ms),
        "macs": stored.macs,
        "params": stored.params,
        "memory": stored.peak_activation_bytes,
        "architecture": trial.proposal.architecture.id,
        "network": network,
        "parent": trial.proposal.parent,
        "epochs": trial.proposal.epochs,
        "source": stored.source,
    }


def _kind_record(
    of: Kind, places: list[int], studies: _Studies, trials: Plain, drawings: Mapping[str, Drawings]
) -> Plain:
    """What is compared on one front: its axes, its budget, its members and the published networks beside them."""
    records = [studies.records[place] for place in places]
    budget_ms = largest_budget(records)
    flat = studies.flat
    members = [
        index
        for index, (place, stored) in enumerate(flat)
        if place in places and stored.trial.accuracy is not None and stored.latency_ms is not None
    ]
    allowed = [i for i in members if budget_ms is None or (flat[i][1].latency_ms or 0.0) <= budget_ms]
    front = _front([flat[i][1] for i in allowed])
    networks = {flat[i][1].trial.proposal.architecture: i for i in reversed(members)}
    drawing = drawings.get(of.device or "")
    return {
        "judge": judge(portable(dict(records[0].settings))),  # other folders of one name stay other kinds
        "predicted": of.predicted,
        "target": of.device,
        "budget": budget_ms,
        "studies": places,
        "front": [allowed[i] for i in front],
        "best": allowed[front[-1]] if front else None,
        "references": reference_records(drawing, networks, _classes(networks)) if drawing else [],
    }


def _front(stored: Sequence[StoredTrial]) -> list[int]:
    """Places of the front's members, the fastest first; of equal points the first one stands for all."""
    costs = np.array([[-(s.trial.accuracy or 0.0), s.latency_ms or 0.0] for s in stored]).reshape(-1, 2)
    found = np.flatnonzero(pareto.on_front(costs))
    _, first = np.unique(costs[found], axis=0, return_index=True)
    return sorted((int(i) for i in found[first]), key=lambda i: costs[i, 1])


def _classes(networks: Mapping[Architecture, int]) -> int:
    """Classes that the networks tell apart, so that published ones can be compared with them."""
    return next((network.num_classes for network in networks), 1000)


def _study_record(record: StudyRecord, trials: Sequence[StoredTrial], runs: Sequence[Plain]) -> Plain:
    record = replace(record, settings=portable(dict(record.settings)))
    states: dict[str, int] = {}
    for stored in trials:
        states[stored.trial.state.value] = states.get(stored.trial.state.value, 0) + 1
    versions = {name: version for stored in trials[-1:] for name, version in stored.versions.items()}
    times = [time for stored in trials for time in (stored.started_at, stored.ended_at) if time is not None]
    return {
        "name": record.name,
        "created": record.created_at.isoformat(timespec="seconds"),
        "ended": max(times).isoformat(timespec="seconds") if times else None,
        "settings": record.settings,
        "fidelity": record.fidelity,
        "basis": dict(record.basis) if record.basis else None,
        "fork_of": record.fork_of,
        "inherited": record.inherited,
        "states": states,
        "versions": versions,
        "latency_versions": sorted({stored.latency_version for stored in trials if stored.latency_version}),
        "command": command(record, runs),
        "path": [[step.base, list(step.proposals), step.chosen] for step in read_path(trials, record.settings)],
    }


def _device_record(device: Device, drawings: Drawings) -> Plain:
    """Where the latencies come from, and the places of all networks of the page."""
    if device.model is None:
        return {"absent": device.absent, "places": drawings.places, "ops": drawings.ops}
    about = device.model.device
    return {
        "device": about.device,
        "runtime": f"{about.runtime} {about.runtime_version}",
        "threads": about.threads,
        "core": about.core,
        "dtype": about.dtype,
        "date": about.date,
        "version": device.model.version,
        "error": dict(about.error),
        "interval": about.interval,
        "coverage": about.coverage,
        "provenance": portable([dict(entry) for entry in about.provenance]),
        "places": drawings.places,
        "ops": drawings.ops,
    }
