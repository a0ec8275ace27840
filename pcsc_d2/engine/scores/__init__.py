"""Fitting how the heads' scores are put together, after the detector."""
