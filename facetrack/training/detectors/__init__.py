"""Training of landmark detectors: data, augmentation, losses, and what each network adds."""
