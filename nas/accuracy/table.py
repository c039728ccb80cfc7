"""`read_trained`: networks that were trained, from a CSV file."""

import csv
import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from nas import __version__
from nas.accuracy.features import as_array
from nas.accuracy.fit import TrainedNetworks
from nas.architecture import Architecture
from nas.errors import AccuracyError, NasError
from nas.space import Genotype, SearchSpace
from nas.space.spec import Scalar

_ACCURACY = ("accuracy", "top1", "val_top1")
_WORD = re.compile(r"e(?P<expand>[\d.]+)k(?P<kernel>\d+)l(?P<depth>\d+)(?P<se>s?)")


def read_trained(path: Path, space: SearchSpace) -> TrainedNetworks:
    """The trainings that a CSV file lists, a row each; lines that start with # are comments.

    Accuracy stands in a column `accuracy`, `top1` or `val_top1`, in percent, or as a share if none is above 1. The
    network stands in one of: a column for each gene that varies, named as `nas space show` does; a column
    `architecture` with its JSON; or a column `arch` with a word such as e6k3l2s for each stage that has choices:
    expansion, kernel, layers, squeeze-and-excite. A gene that is not mentioned has its first choice.

    Raises:
        AccuracyError: not such a file; names the line.
    """
    rows = _rows(path)
    columns = set(rows[0][1])
    column = next((name for name in _ACCURACY if name in columns), None)
    if column is None:
        raise AccuracyError(f"{path}: no column for the accuracy; expected one of {', '.join(_ACCURACY)}")
    if unknown := sorted(name for name in columns - {gene.name for gene in space.genes} if "[" in name):
        raise AccuracyError(f"{path}: column {unknown[0]!r} is no gene of space {space.name}; see nas space show")
    genotypes, accuracies, ids = [], [], []
    for line, row in rows:
        try:
            accuracies.append(_number(row[column]))
            genotype = space.canonical(_genotype(row, space))
        except (NasError, ValueError) as error:
            raise AccuracyError(f"{path}: line {line}: {error}") from None
        genotypes.append(genotype)
        ids.append(space.decode(genotype).id)
    if np.median(accuracies) <= 1 < max(accuracies):
        raise AccuracyError(f"{path}: most accuracies are at most 1, one is {max(accuracies):g}; expected one unit")
    percent = np.array(accuracies) * (100.0 if max(accuracies) <= 1 else 1.0)
    return TrainedNetworks(as_array(genotypes), percent, tuple(ids))


def provenance(path: Path) -> dict[str, str]:
    """Where a table that `read_trained` has read comes from: its name, its hash, and what its first comment says."""
    content = path.read_bytes()
    first = content.decode().partition("\n")[0]
    says = {"says": first.lstrip("# ").strip()} if first.startswith("#") else {}
    return {"file": path.name, "sha256": hashlib.sha256(content).hexdigest(), "nas": __version__, **says}


def _rows(path: Path) -> list[tuple[int, dict[str, str]]]:
    """Rows with the number of their line."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise AccuracyError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise AccuracyError(f"{path}: not a text file; expected CSV in UTF-8") from None
    lines = [(number, line) for number, line in enumerate(text.splitlines(), 1) if line and not line.startswith("#")]
    if len(lines) < 2:
        raise AccuracyError(f"{path}: no row; expected a line of column names and a row for each trained network")
    header = next(csv.reader([lines[0][1]]))
    rows = []
    for (number, _), cells in zip(lines[1:], csv.reader(line for _, line in lines[1:]), strict=False):
        if len(cells) != len(header):
            raise AccuracyError(f"{path}: line {number}: {len(cells)} cells; expected {len(header)}")
        rows.append((number, dict(zip(header, cells, strict=True))))
    return rows


def _number(text: str) -> float:
    try:
        accuracy = float(text)
    except ValueError:
        accuracy = math.nan
    if not 0 <= accuracy <= 100:
        raise ValueError(f"accuracy {text}; expected 0 to 100 percent, or a share from 0 to 1")
    return accuracy


def _genotype(row: Mapping[str, str], space: SearchSpace) -> Genotype:
    if row.get("architecture"):
        return space.encode(Architecture.from_json(row["architecture"]).with_num_classes(space.num_classes))
    if row.get("arch"):
        return _genotype_of(_chosen(row["arch"].split(), space), space)
    return _genotype_of({gene.name: row[gene.name] for gene in space.genes if gene.name in row}, space)


def _chosen(words: Sequence[str], space: SearchSpace) -> dict[str, str]:
    """Choices by gene, from a word for each stage that has any."""
    stages = list(dict.fromkeys(re.findall(r"stages\[\d+\]", " ".join(gene.name for gene in space.genes))))
    if len(words) != len(stages):
        raise ValueError(f"{len(words)} words in {' '.join(words)!r}; expected {len(stages)}, one for each stage")
    chosen: dict[str, str] = {}
    for stage, word in zip(stages, words, strict=True):
        match = _WORD.fullmatch(word)
        if match is None:
            raise ValueError(f"{word!r}; expected a word such as e6k3l2s")
        chosen |= {f"{stage}.{key}": value for key, value in match.groupdict().items() if key != "se"}
        chosen[f"{stage}.se"] = _squeeze(space, f"{stage}.se", bool(match["se"]))
    names = {gene.name for gene in space.genes}
    return {name: value for name, value in chosen.items() if name in names}


def _squeeze(space: SearchSpace, name: str, has: bool) -> str:
    """The choice of squeeze-and-excite that a word means: none, or the one that is not."""
    choices: tuple[Scalar, ...] = next((gene.choices for gene in space.genes if gene.name == name), ())
    return next((str(choice) for choice in choices if (choice != "none") == has), "none")


def _genotype_of(chosen: Mapping[str, str], space: SearchSpace) -> Genotype:
    """The genotype with these choices, given as text."""
    if not chosen:
        raise ValueError("names no network; expected a column architecture, arch, or one for each gene")
    genotype = []
    for gene in space.genes:
        texts = [str(choice) for choice in gene.choices]
        if (text := chosen.get(gene.name, texts[0])) not in texts:
            raise ValueError(f"{gene.name} = {text}; expected one of {', '.join(texts)}")
        genotype.append(texts.index(text))
    return tuple(genotype)
