"""Trials with the weights that were kept of them."""

from pathlib import Path

from nas.errors import NasError
from nas.evaluators.proxy import trial_weights
from nas.sources import Source
from nas.store.store import Store, StoredTrial
from nas.training.checkpoint import read_network


def weights_path(stored: StoredTrial, store: Store) -> Path:
    """Where a trial's weights lie if they were kept: of a reused outcome, in the study that trained it."""
    trained = trained_by(stored, store)
    return trial_weights(store.weights_folder(trained.study), trained.trial.number)


def trained_by(stored: StoredTrial, store: Store) -> StoredTrial:
    """The trial whose outcome this one has: itself, unless it reused another's."""
    if stored.source is None:
        return stored
    source = store.trial(stored.source)
    assert source is not None, "a foreign key of the database"
    return trained_by(source, store)


def trial_source(stored: StoredTrial, store: Store) -> Source:
    """A trial of ours with the weights that were kept of its training.

    Raises:
        NasError: they are not there (any more), or those of another network.
    """
    path = weights_path(stored, store)
    if not path.exists():
        reused = "" if stored.source is None else f" (it reuses the training of trial:{stored.source})"
        raise NasError(
            f"trial:{stored.id} has no weights: {path} is not there{reused}; only networks that nas search trained and "
            f"nas adapt chose keep theirs, nas train trial:{stored.id} makes new ones"
        )
    architecture, network = read_network(path)
    if architecture != stored.trial.proposal.architecture:
        raise NasError(f"{path}: holds the weights of another network than trial:{stored.id}")
    return Source(f"trial:{stored.id}", architecture, network)
