"""Exported ONNX files: what they hold, how they are read, and what answers for them."""
