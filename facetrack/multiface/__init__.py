"""Track several faces: predict, detect, associate, update, birth and death."""
