"""A matcher that begins with the encoder of a flow regressor."""

from __future__ import annotations

import torch
from torch import Tensor

from solution.proposers.matcher.network import MatcherNet


def start_from_flow(net: MatcherNet, tensors: dict[str, Tensor]) -> None:
    """Take over the encoder of a flow regressor: stems, trunk, and its features as a descriptor's first channels.

    Raises:
        RuntimeError: another trunk or width.
    """
    project = net.disk.unet.project
    with torch.no_grad():
        project.weight.mul_(0.1)  # channels that the regressor does not have start low, and the heat map nearly flat
        project.bias.zero_()
        features = tensors["encoder.project.weight"]
        project.weight[: len(features)], project.bias[: len(features)] = features, tensors["encoder.project.bias"]
    for name, stem in (("optical", "optical_stem"), ("translated", "optical_stem"), ("sar", "sar_stem")):
        net.stems[name].load_state_dict(_below(tensors, f"encoder.{stem}."))
    for name in ("trunk", "laterals", "smooth"):
        getattr(net.disk.unet, name).load_state_dict(_below(tensors, f"encoder.{name}."))


def _below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
