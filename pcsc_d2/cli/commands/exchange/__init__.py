"""Subcommands for the tools around: annotation, and what looks at datasets."""
