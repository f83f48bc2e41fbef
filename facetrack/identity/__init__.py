"""Who a face belongs to: descriptors, a shape model and their verifier."""
