"""The flow regressor as a proposer."""

from __future__ import annotations

import pandas as pd

from solution.proposers.flow.settings import FineConfig
from solution.proposers.proposer import Context, Proposer
from solution.proposers.warped import finest_level


def _propose(context: Context, settings: FineConfig) -> pd.DataFrame:
    from solution.proposers.flow.fine import propose_flow

    finest = finest_level(context.pair.shape, context.finest)
    net, field = context.load("flow"), context.field()
    return propose_flow(context.pair, net, context.fold, field, settings, finest, context.progress)


FLOW = Proposer("flow", ("flow", "coarse"), FineConfig(), _propose)
