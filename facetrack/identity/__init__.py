"""Verify faces: descriptors of people, a model of face shapes, and a verifier of both."""
