"""The challenge's rules: the score, the inventory of a folder, the submission."""
