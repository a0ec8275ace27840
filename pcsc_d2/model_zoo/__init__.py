"""What comes by name: configs, and in ``model_zoo.kinetics`` weights to start from."""

from pcsc_d2.model_zoo.configs import (
    config_names,
    find_config,
    get_config,
    get_config_file,
    lazy_config_names,
)

__all__ = ["config_names", "find_config", "get_config", "get_config_file", "lazy_config_names"]
