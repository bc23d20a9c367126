"""Tie-points for other programs: ``export``, and ``--tiepoints`` of ``predict`` and ``fit``.

`given` finds out what is exported, `files` which format gets what; `lines` and `texts` write it, `thinning` makes it less.
"""
