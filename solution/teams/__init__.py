"""A fold is a team: its models in ``folds/k/``, which scenes they must not see, what they propose, and their scores.

    training (of every team) -> propose (for one scene) -> out_of_fold (for scenes that a team never saw) -> fold_scores

`team` says which scenes a team holds out, and which teams may judge a scene.
"""
