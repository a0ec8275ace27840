"""What is taught after the detector, which stays as it is."""
