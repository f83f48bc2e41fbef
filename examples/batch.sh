#!/usr/bin/env bash
# Track every video of a folder, several in parallel; any file name is safe.
#   examples/batch.sh VIDEOS RESULTS [JOBS] [options of facetrack track]
# Each video has its own folder, so a.mp4 and a.mov do not conflict. The exit code is not 0 if a
# video failed; the others are tracked all the same. This shows how to call facetrack from xargs (or
# parallel, or make): `facetrack track VIDEOS --out RESULTS --jobs JOBS` does almost the same, skips
# complete videos, and writes a summary.
set -euo pipefail
videos=${1:?the folder of videos is missing} results=${2:?the folder for results is missing} jobs=${3:-1}
shift "$(($# < 3 ? $# : 3))"
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} results
find "$videos" -maxdepth 1 -type f \
    \( -iname '*.mp4' -o -iname '*.mov' -o -iname '*.mkv' -o -iname '*.webm' -o -iname '*.avi' \) \
    ! -name '*.overlay.mp4' -print0 |
    xargs -0 -r -P "$jobs" -I{} sh -c '
        video=$1; shift
        exec facetrack track "$@" --out "$results/$(basename -- "$video")" -- "$video"
    ' batch {} "$@"
