"""Track many videos: find them, distribute them over processes, and report the outcomes.

- `inputs` finds the videos, `plan` decides where each one's files go, `stores` writes them there.
- `records` finds the videos that are already complete.
- `tracking` tracks one video. The `engines` call it: `workers` in processes of this machine,
  `ray_engine` in processes (`ray_worker`) on a Ray cluster (`ray_cluster`).
- `run` runs a batch. It receives `messages` from the engine, fills in the `state`, and writes the
  `summary`.
"""
