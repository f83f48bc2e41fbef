"""Networks that regress whole shapes, step by step: the cascades that came before heat maps."""
