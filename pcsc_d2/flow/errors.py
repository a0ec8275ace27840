"""What goes wrong with optical flow."""


class FlowError(ValueError):
    """Flow that cannot be had; one line that names the file and what to do."""
