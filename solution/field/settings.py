"""Settings of the fit from candidates to the field."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class FitConfig:
    """Settings of the fit; the defaults are meant for every scene.

    Attributes:
        min_confidence: rows below are set aside.
        min_quality: likewise rows that the reranker gives less; rows that it has not judged pass.
        max_cycle_px: rows with a larger forward-backward error are set aside.
        neighbours: how many rows vote on a row.
        noise_px, slope: prior of the gate: noise of a typical row, and how fast the field wanders with distance (px per px).
        margin_px: added to the range of shifts over which wrong rows are thought uniform.
        sharing: share of the neighbours' error that averaging does not remove.
        min_probability: rows that belong to the field with less are set aside; the others keep it as a weight.
        min_field, min_affine: kept rows that a field and an affine need.
        max_exact: up to this many given points are fitted exactly (`gaussian`); more, and proposed ones, on the lattice.
        max_nodes: upper limit of the lattice.
        min_step_px, max_step_px: limits of the node distance.
        block_px, window_px: rows err alike within the first, and still much alike within the second.
        shared_px, shared_m: standard deviation per axis of what the proposed rows of a block get wrong alike, of the pixels and, where their size is known, on the
            ground; see `lattice.LatticeField._stiffness`.
        least_rows: rows of a source within window_px that have a vote together; fewer, which may be there by chance, have less.
        unseen_m: standard deviation per axis of what proposers get wrong alike, on the ground: a wall for the roof's edge, a shadow for the house. No fit can
            see it; it goes into the error estimate of proposed candidates where the pixel size is known.
        windowed_vote: of a windowed source beside others, which see finer.
        gate_sigmas: rows this many noise scales off the field are set aside.
        min_gate_px: but never nearer than this.
    """

    min_confidence: float = 0.02
    min_quality: float = 0.5
    max_cycle_px: float = 12.0
    neighbours: int = 24
    noise_px: float = 5.0
    slope: float = 0.1
    margin_px: float = 20.0
    sharing: float = 0.7
    min_probability: float = 0.2
    min_field: int = 16
    min_affine: int = 6
    max_exact: int = 600
    max_nodes: int = 40_000
    min_step_px: float = 16.0
    max_step_px: float = 128.0
    block_px: float = 96.0
    window_px: float = 192.0
    shared_px: float = 1.5
    shared_m: float = 1.0
    least_rows: int = 10
    windowed_vote: float = 0.25
    unseen_m: float = 1.5
    gate_sigmas: float = 5.0
    min_gate_px: float = 4.0
