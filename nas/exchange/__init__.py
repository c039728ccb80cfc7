"""Trials for other programs: tables of files, and a study that Optuna's tools open."""
