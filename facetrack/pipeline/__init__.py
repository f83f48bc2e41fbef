"""Run one video: find the query frame, track in both directions, save and resume."""
