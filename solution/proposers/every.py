"""All proposers there are, and what follows from that: their names, and which of them are learned."""

from __future__ import annotations

from solution.proposers.flow.proposer import FLOW
from solution.proposers.gradient.proposer import GRADIENT
from solution.proposers.matcher.proposer import MATCH, MATCH_TRANSLATED
from solution.proposers.proposer import Proposer

PROPOSERS: tuple[Proposer, ...] = (FLOW, MATCH, MATCH_TRANSLATED, GRADIENT)
"""In the order in which they work and in which a team's table holds them. The other learned ones look around the field
of the first, those that are not learned around the field of all that come before them."""
NAMES = tuple(proposer.name for proposer in PROPOSERS)
LEARNED = tuple(proposer.name for proposer in PROPOSERS if proposer.learned)
"""Names of the proposers that teams are trained for."""
