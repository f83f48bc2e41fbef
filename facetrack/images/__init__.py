"""Landmarks in still images."""
