"""The functions behind the command line and `import facetrack`: track, detect, compare."""
