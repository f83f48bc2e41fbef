"""How far placed landmarks can be trusted."""
