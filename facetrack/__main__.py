"""Run the command line with `python -m facetrack`."""

from facetrack.cli import main

if __name__ == "__main__":
    main()
