"""Files for other programs, made of the results of a run: `facetrack export`."""
