"""Follow several faces: which are present, who they are, when to detect again."""
