"""Doubts: the probability that a candidate is right."""
