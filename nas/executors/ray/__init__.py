"""Trials on the nodes of a Ray cluster; the one home of ray."""
