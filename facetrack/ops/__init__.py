"""Operations on arrays and images that know nothing of faces."""
