"""Subcommands that say what a model costs."""
