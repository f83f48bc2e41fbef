"""Point layouts, point files and the geometry of landmarks."""
