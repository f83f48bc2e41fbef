"""Read, decode, segment and encode videos; read images."""
