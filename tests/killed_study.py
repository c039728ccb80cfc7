"""A driver of a study that is made to be killed: three workers that finish out of order, all in this process.

    python -m tests.killed_study DATABASE TRIALS

Prints `told N` when the outcome of trial N was acknowledged by the study.
"""

import sys
import time
from random import Random

from nas.store.store import Store
from nas.trial import Outcome
from tests.executor_helpers import formula
from tests.study_helpers import open_study


def main() -> None:
    """Go on with the study where it is, until it has all its trials."""
    rng, running = Random(), []
    with Store.open(sys.argv[1]) as store, open_study(store, trials=int(sys.argv[2])) as study:
        print("begun", flush=True)
        while True:
            while len(running) < 3 and (trial := study.ask()) is not None:
                running.append(trial)
            if not running:
                return
            trial = running.pop(rng.randrange(len(running)))
            study.report(trial, 1, {"accuracy": 0.1})
            time.sleep(0.003 * rng.random())
            study.tell(trial, Outcome({"accuracy": formula(trial)}))
            print("told", trial.number, flush=True)


if __name__ == "__main__":
    main()
