"""Place landmarks in still images, and write them."""
