"""Cases that fail for reasons that are known and not yet mended: name of the case -> why."""

KNOWN: dict[str, str] = {}
