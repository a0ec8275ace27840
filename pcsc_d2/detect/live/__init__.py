"""Live: a camera or stream is watched, and a page on this machine shows boxes as they come."""
