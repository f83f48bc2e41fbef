"""What the command line and `import facetrack` call: track, detect, compare."""
