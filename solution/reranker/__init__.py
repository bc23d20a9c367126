"""Doubts: the probability that a candidate is right, by features that name no place.

    features (neighbours, appearance) -> model (LightGBM) -> folds (one for each team) -> report

A team's reranker learns from the tables of the other teams, and is judged on the table of its own.
"""
