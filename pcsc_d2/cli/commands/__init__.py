"""One module for each subcommand: the docstring is its help, beside ``add_arguments`` and ``run``.

These modules import NumPy and the standard library alone; what a subcommand works with is imported
by its ``run``, so that every ``--help`` is there at once and whatever is installed.
"""
