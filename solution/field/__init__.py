"""From a table of candidates to the offset map, and a word on how good it is."""
