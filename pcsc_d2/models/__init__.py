"""Trained detectors, be they a checkpoint of Detectron2's or an exported file."""
