"""What a worker says of a trial, and an evaluation as a value, whatever happened in it."""

import sys
import traceback
from typing import Literal

from nas.errors import NasError, StudyError
from nas.trial import Evaluator, Metrics, Outcome, Report, Trial

_DEATHS = 10  # workers in a row that may die without having finished a trial, for each worker; a trial fails at 3

Reported = tuple[Literal["report"], int, Metrics]
Ended = tuple[Literal["ended"], Outcome]
Stuck = tuple[Literal["stuck"], NasError]
Message = Reported | Ended | Stuck
"""An epoch, to be answered with whether to stop; the outcome; or what the user has to mend before anything goes on."""


def ending_of(evaluator: Evaluator, trial: Trial, report: Report) -> Ended | Stuck:
    """The last message of an evaluation."""
    try:
        return "ended", outcome_of(evaluator, trial, report)
    except NasError as error:
        return "stuck", error


def outcome_of(evaluator: Evaluator, trial: Trial, report: Report) -> Outcome:
    """The outcome, an exception included: a search outlives any trial.

    Raises:
        NasError: what the user has to mend; it would fail every trial.
    """
    try:
        return evaluator.evaluate(trial, report)
    except NasError:
        raise
    except Exception as error:
        traceback.print_exc(file=sys.stderr)
        return Outcome(error=f"{type(error).__name__}: {error}")


def require_survivors(deaths: int, workers: int, see: str) -> None:
    """Raises StudyError if so many workers in a row died without finishing a trial that the next would, too."""
    if deaths >= _DEATHS * workers:
        raise StudyError(f"{deaths} workers in a row died without finishing a trial; see {see}")
