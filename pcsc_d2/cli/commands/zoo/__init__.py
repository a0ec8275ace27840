"""Subcommands for what comes by name: models, and weights to start from."""
