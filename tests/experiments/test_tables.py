"""Mean and spread over seeds."""

from __future__ import annotations

from pcsc_d2.experiments.tables import spread


def test_mean_and_sample_deviation() -> None:
    assert spread([1.0, 3.0]) == "2.00 ± 1.41"
    assert spread([1.0]) == "1.00"
    assert spread([float("nan"), None, 4.0]) == "4.00"
    assert spread([]) == "-"
    assert spread([1.0, 4.0], digits=0) == "2 ± 2"
