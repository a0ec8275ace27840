"""What was found, in the form of the tools around: supervision and FiftyOne.

Each is an extra, imported where it is asked for.
"""
