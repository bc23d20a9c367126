"""What users run: predictions, pictures, the embedded default, SAR as optical-like images."""
