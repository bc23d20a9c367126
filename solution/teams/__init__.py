"""A fold is a team: its models, what they may see, what they propose, and their scores."""
