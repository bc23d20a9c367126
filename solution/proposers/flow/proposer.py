"""The flow regressor as a proposer."""

from __future__ import annotations

import pandas as pd

from solution.proposers.flow.settings import PyramidConfig
from solution.proposers.proposer import Context, Proposer


def _propose(context: Context, settings: PyramidConfig) -> pd.DataFrame:
    from solution.proposers.flow.pyramid import propose_flow

    return propose_flow(context.pair, context.load("flow"), context.fold, settings, context.finest, context.progress)


FLOW = Proposer("flow", ("flow",), PyramidConfig(), _propose)
