"""Faces at any roll: find them, and place their landmarks in crops in which they are upright."""
