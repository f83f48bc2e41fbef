"""Serve a page, to this machine alone, on which tracks are corrected by hand."""
