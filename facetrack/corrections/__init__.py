"""Correct tracks by hand: corrected points are anchors from which the tracker runs again."""
