"""The main job at first sight: generate clips, train, evaluate, and show what was found.

Everything goes to one folder, whose ``index.html`` links it all; nothing is downloaded. Where
Detectron2 is not installed nothing is trained: the exported model that comes with the package
detects instead.
"""
