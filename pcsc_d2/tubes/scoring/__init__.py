"""Frame and video mAP as the published evaluators compute them, and what explains a score."""
