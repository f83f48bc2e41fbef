"""Array and image operations that are independent of faces."""
