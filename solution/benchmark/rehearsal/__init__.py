"""A rehearsal of the contest: what it would hand out is simulated, its scripts are run as it would run them, and what they
leave is judged as it would judge it.

    scenes (simulated) -> layout (what the contest hands out, and what it keeps) -> commands (train.sh, test.sh), run by
    measuring (time, memory, disk), kept by records -> judging (zip and score) -> estimate (4 x T4) -> table

`rehearse` puts them together.
"""
