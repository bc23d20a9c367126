"""The challenge's rules: the score to the last digit, score tables, the inventory of a folder, the submission."""
