"""Ways to judge a network; each fills `nas.trial.Evaluator`."""
