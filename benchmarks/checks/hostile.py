"""Run the command line on hostile inputs made from a seed, and count faults by kind of input.

The inputs are videos, images, weights, points files, manifests, saved states of interrupted runs,
and records with their tables. They are mutated, truncated, nested, of wrong types or with absurd
numbers, or claim or expand to gigabytes. Each runs in a process of its own, which is forked from
one that has imported facetrack, with a limit of 240 seconds.

- refused: exit code 2 with one sentence; several inputs of one command have one for each.
- tracebacks: any other exit code than 0 and 2, or a traceback in the output.
- hangs: not ended after the limit.
- other faults: more than one sentence, a file left behind or changed, a file that cannot be read.
- MB: peak memory of the command and the programs that it starts together, sampled 20 times a
  second, or that of the largest process, whichever is more. A process starts at some 400 MB.

Exit code 1 if there is any fault, or if an input took 2,000 MB or more.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[2]
SEED = 27

# The runner and the generators of inputs belong to the tests.
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests" / "robustness")]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--every", type=int, default=1, help="run only every Nth input")
    parser.add_argument("--kind", nargs="+", help="run only inputs of these kinds")
    parser.add_argument("--folder", type=Path, help="keep the files of all inputs here")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) if options.folder is None else options.folder
        folder.mkdir(parents=True, exist_ok=True)
        sys.exit(_run(options, folder))


def _run(options: argparse.Namespace, folder: Path) -> int:
    from fuzz import Outcome, Runner
    from hostile_inputs import MEGABYTES, cases

    found: dict[str, list[Outcome]] = defaultdict(list)
    start = time.monotonic()
    # After Ctrl-C, the table holds what has run.
    with contextlib.suppress(KeyboardInterrupt), Runner(folder) as runner:
        for kind, case in cases(options.seed)[:: options.every]:
            if options.kind is not None and kind not in options.kind:
                continue
            outcome = runner.run(case)
            found[kind].append(outcome)
            if outcome.problems:
                print(f"{case.name}: {'; '.join(outcome.problems)}", file=sys.stderr)
                print(
                    "    " + outcome.stderr.strip()[-600:].replace("\n", "\n    "), file=sys.stderr
                )
    print("| kind | inputs | done | refused | tracebacks | hangs | other faults | MB | s |")
    print("|---|---|---|---|---|---|---|---|---|")
    faults = 0
    everything = [outcome for outcomes in found.values() for outcome in outcomes]
    for kind, outcomes in [*found.items(), ("all", everything)]:
        hangs = sum(any("hung" in problem for problem in o.problems) for o in outcomes)
        tracebacks = sum(
            "Traceback" in o.stderr or (o.code not in (0, 2) and not _is_hung(o.problems))
            for o in outcomes
        )
        faulty = sum(bool(o.problems) for o in outcomes)
        megabytes = max((max(o.megabytes, o.all_megabytes) for o in outcomes), default=0)
        seconds = max((o.seconds for o in outcomes), default=0)
        codes = [o.code for o in outcomes]
        print(
            f"| {kind} | {len(outcomes)} | {codes.count(0)} | {codes.count(2)} | {tracebacks} "
            f"| {hangs} | {max(0, faulty - hangs - tracebacks)} | {megabytes:.0f} | {seconds:.1f} |"
        )
        faults = faulty + (megabytes >= MEGABYTES)
    print(f"Seed {options.seed}, {time.monotonic() - start:.0f} s.")
    return 1 if faults else 0


def _is_hung(problems: list[str]) -> bool:
    return any("hung" in problem for problem in problems)


if __name__ == "__main__":
    main()
