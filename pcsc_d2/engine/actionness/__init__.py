"""Training the actionness head after the detector (paper Section 3.4)."""
