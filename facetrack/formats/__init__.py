"""Writers: each takes `Tracks`, none computes them."""
