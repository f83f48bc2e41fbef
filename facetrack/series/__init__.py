"""What can be done with tracks as series over time: select, smooth, resample, show, save."""
