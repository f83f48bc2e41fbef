"""Errors of landmarks and tracks against ground truth."""
