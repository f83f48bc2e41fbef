"""Compare several landmark detectors and point trackers on one video."""
