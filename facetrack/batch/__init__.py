"""Many videos: which they are, whose turn it is, and what came of each.

`inputs` finds them, `plan` says where each one's files go, `stores` puts them there, `records`
tells which are done already. `tracking` tracks one; the `engines` that call it are `workers`, in
processes of this machine, and `ray_engine`, on what `ray_cluster` finds, with processes as in
`ray_worker`. `run` ties these together, `messages` are what it hears, and `summary` tells what
happened.
"""
