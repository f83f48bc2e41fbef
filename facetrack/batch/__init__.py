"""Many videos: which they are, whose turn it is, and what came of each.

`inputs` finds them, `plan` says where each one's files go, `records` tells which are done already,
`workers` tracks them in processes of their own, `run` ties these together, and `summary` tells
what happened.
"""
