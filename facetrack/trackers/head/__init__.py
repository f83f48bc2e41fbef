"""Place hidden landmarks by the head that the visible ones belong to."""
