"""Scores as one HTML page."""
