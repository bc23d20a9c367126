"""From a table of candidates to the offset map, and a word on how good it is.

    candidates (the table) -> gate, consensus (rows set aside) -> fitting (lattice, or exact for few points; terrain)
                           -> shiftfield -> offset_map (files), verdict

`imported` reads tie-points that people bring along.
"""
