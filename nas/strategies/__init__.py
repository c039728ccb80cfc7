"""Search strategies: each proposes networks and hears of their trials (`nas.trial.Strategy`)."""
