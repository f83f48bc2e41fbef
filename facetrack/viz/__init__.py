"""Draw tracks: the overlay video and plots."""
