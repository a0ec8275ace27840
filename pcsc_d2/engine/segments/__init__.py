"""Training temporal cooperation after the detector: segments of the tubes that it links."""
