"""The matcher as two proposers: on the SAR image, and on the picture that the team's translator paints of it."""

from __future__ import annotations

from functools import partial

import pandas as pd

from solution.proposers.matcher.settings import MatchingConfig
from solution.proposers.proposer import Context, Proposer


def _on_sar(context: Context, settings: MatchingConfig) -> pd.DataFrame:
    from solution.proposers.matcher.matching import propose_match

    net = context.load("matcher")
    return propose_match(
        context.pair, net, context.fold, settings, context.around(), finest=context.finest, progress=context.progress
    )


def _on_translated(context: Context, settings: MatchingConfig) -> pd.DataFrame:
    from solution.proposers.matcher.matching import propose_match
    from solution.proposers.translator.network import translate

    net, paint = context.load("matcher"), partial(translate, context.load("translator"))
    return propose_match(
        context.pair, net, context.fold, settings, context.around(), paint, context.finest, context.progress
    )


MATCH = Proposer("match", ("matcher",), MatchingConfig(), _on_sar, by_default=False)
MATCH_TRANSLATED = Proposer(
    "match_translated", ("matcher", "translator"), MatchingConfig(), _on_translated, by_default=False
)
