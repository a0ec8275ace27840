"""A network of segments as one vector, as exported files hold it."""

from __future__ import annotations

import torch

from pcsc_d2.layers.segments.cooperation import SegmentCooperation, SegmentSizes


def to_vector(network: SegmentCooperation) -> torch.Tensor:
    """All that a trained network knows, as one float32 vector, for ``from_vector``."""
    return torch.cat([x.detach().float().flatten() for x in network.state_dict().values()])


def from_vector(sizes: SegmentSizes, values: torch.Tensor) -> SegmentCooperation:
    """The network that ``to_vector`` was given, in evaluation mode.

    Raises:
        ValueError: the vector is not of a network of these sizes, or holds what is no weight.
    """
    if values.dtype != torch.float32 or values.ndim != 1 or not values.is_contiguous():
        raise ValueError("its weights of segments are no vector of float32")
    with torch.device("meta"):
        state = SegmentCooperation(sizes).state_dict()
    counts = [x.numel() for x in state.values()]
    if sum(counts) != values.numel():
        raise ValueError(f"{values.numel()} weights of segments, where {sum(counts)} are expected")
    if not values.isfinite().all():
        raise ValueError("its weights of segments are NaN or infinite")
    network = SegmentCooperation(sizes).to(values.device)
    parts = zip(state.items(), values.split(counts))
    network.load_state_dict({key: part.view(x.shape) for (key, x), part in parts})
    if not (network.std > 0).all():
        raise ValueError("its deviations of features for segments are not over 0")
    return network.eval()
