"""One's own videos: boxes in CSV, COCO-style JSON or CVAT's XML, described by a dataset.json."""
