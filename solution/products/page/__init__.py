"""The report page of a prediction: one HTML file that needs nothing else, made from what lies on disk."""
