"""A whole study as data: block search, NetAdapt, comparison, ablations and report, run by `nas run STUDY.yaml`."""
