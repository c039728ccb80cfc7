"""`outcome_of`: an evaluation as a value, whatever happened in it."""

import sys
import traceback

from nas.errors import NasError
from nas.trial import Evaluator, Outcome, Report, Trial


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
