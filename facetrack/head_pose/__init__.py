"""Head poses straight from the picture of a face, without landmarks."""
