"""Action tubes in one's own videos; runs without Detectron2 where the model is an exported file."""
