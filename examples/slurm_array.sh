#!/usr/bin/env bash
#SBATCH --job-name=facetrack
#SBATCH --array=1-8
#SBATCH --cpus-per-task=4
#SBATCH --mem=8G
#SBATCH --time=08:00:00
#SBATCH --output=facetrack-%A_%a.log
#
# Track many videos on a SLURM cluster: each task of the array takes an equal share.
#   sbatch --array=1-8 examples/slurm_array.sh VIDEOS RESULTS [options of facetrack track]
# VIDEOS is a folder of videos, or a text file with one path per line; all tasks must see the same.
# After a failure or a time limit, submit the whole array again: complete videos are skipped.
# RESULTS/batch.I-of-N.json and .csv have the result of each share; a task with a failed video fails.
set -euo pipefail
videos=${1:?the folder or list of videos is missing} results=${2:?the folder for results is missing}
shift 2
task=${SLURM_ARRAY_TASK_ID:?this is for sbatch --array=1-N} tasks=${SLURM_ARRAY_TASK_MAX:?}
if ((${SLURM_ARRAY_TASK_MIN:-1} != 1 || ${SLURM_ARRAY_TASK_COUNT:-$tasks} != tasks)); then
    # Other task numbers would give other shares.
    echo "slurm_array.sh: send the whole array, --array=1-N: complete videos are skipped" >&2
    exit 2
fi
if [[ -d $videos ]]; then what=("$videos"); else what=(); set -- --manifest "$videos" "$@"; fi
exec facetrack track --shard "$task/$tasks" --out "$results" "$@" -- ${what[@]+"${what[@]}"}
