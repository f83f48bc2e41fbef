"""A tracker that follows expressions with a landmark network."""
