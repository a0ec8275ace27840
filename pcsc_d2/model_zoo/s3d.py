"""torchvision's S3D trained on Kinetics-400, by name: ``MODEL.RGB.WEIGHTS kinetics``."""

from __future__ import annotations

from urllib.error import URLError

from pcsc_d2.layers.s3d import SeparableI3D, fill_s3d
from pcsc_d2.utils.text import one_line


def load_s3d_kinetics(trunk: SeparableI3D) -> None:
    """Fill a trunk from torchvision's weights (32 MB, BSD), which are fetched where need be.

    Raises:
        ValueError: they cannot be fetched, or the trunk is another one.
    """
    from torchvision.models.video import S3D_Weights

    weights = S3D_Weights.KINETICS400_V1
    try:
        state = weights.get_state_dict(progress=True, check_hash=True, weights_only=True)
    except (OSError, URLError, RuntimeError) as error:
        raise ValueError(
            f"{weights.url}: cannot be fetched ({one_line(error)}): fetch it elsewhere and name "
            "the file in MODEL.RGB.WEIGHTS"
        ) from None
    fill_s3d(trunk, dict(state), weights.url)
