"""Accuracy models: what a network of a space will reach in training, as far as networks that were trained tell."""
