"""The trial database: every study, network, trial and epoch, durable as soon as a call returns."""
