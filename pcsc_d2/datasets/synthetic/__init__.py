"""Generated clips with known tubes, to try a detector without data."""
