"""Networks with their weights as files that other programs run."""
