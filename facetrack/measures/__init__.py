"""Measures of faces computed from their landmarks: head pose, openings, asymmetries, events."""
