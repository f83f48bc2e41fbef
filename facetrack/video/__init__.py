"""Videos and images in, videos out: read, decode, cut, encode."""
