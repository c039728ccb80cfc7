"""Executors: where trials run. Each fills `nas.trial.Executor`."""
