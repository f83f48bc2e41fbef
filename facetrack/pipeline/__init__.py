"""One video's run: query frame, tracking both ways, resume."""
