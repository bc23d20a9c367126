"""Coarse features: what a frozen trunk sees, made comparable between the modalities by a small trained head."""
