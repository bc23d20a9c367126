"""Template matching on oriented gradients as a proposer."""

from __future__ import annotations

import pandas as pd

from solution.proposers.gradient.settings import GradientConfig
from solution.proposers.proposer import Context, Proposer


def _propose(context: Context, settings: GradientConfig) -> pd.DataFrame:
    from solution.proposers.gradient.windows import propose_gradient

    return propose_gradient(
        context.pair, context.fold, settings, context.around, context.device, context.finest, context.progress
    )


GRADIENT = Proposer("gradient", (), GradientConfig(), _propose, learned=False)
