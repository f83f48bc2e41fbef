"""Several initialisers and trackers on one video, measured side by side."""
