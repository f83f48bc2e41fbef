"""Correct a point tracker where eyes and mouths open and shut."""
