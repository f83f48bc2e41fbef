"""List cases that fail for known reasons that are not yet fixed: name of the case -> reason."""

KNOWN: dict[str, str] = {}
