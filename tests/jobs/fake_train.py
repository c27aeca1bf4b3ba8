"""Stands in for `hpcbench train CONFIG --data D --out RUN [--resume]`: same files, no work.

The file `behaviour` beside the configuration says what happens: done (default), diverge, crash,
crash-once, killed, killed-late (after its result), input, memory, node, hang, stacks, steady
(repeats agree), slow (60 steps; saves its work on SIGTERM).
"""

import json
import os
import signal
import sys
import time
import tomllib
from pathlib import Path

NUM_STEPS = 60


def main() -> int:
    config = Path(sys.argv[2])
    run = Path(sys.argv[sys.argv.index("--out") + 1])
    behaviour = config.with_name("behaviour")
    what = behaviour.read_text() if behaviour.exists() else "done"
    settings = tomllib.loads(config.read_text())
    step = max([int(p.name) for p in (run / "checkpoint").glob("*")] or [0])

    def status(state: str, reason: str = "") -> None:
        content = {"state": state, "step": step, "num_steps": NUM_STEPS, "reason": reason}
        partial = run / ".status.json.partial"
        partial.write_text(json.dumps(content))
        partial.replace(run / "status.json")

    def save() -> None:
        place = run / "checkpoint" / f"{step:09d}"
        place.mkdir(parents=True, exist_ok=True)
        (place / "model").write_text(str(step))

    stopped = []
    signal.signal(signal.SIGTERM, lambda number, frame: stopped.append(number))
    (run / "run.json").write_text("{}")
    now = time.time()
    (run / "provenance.json").write_text(json.dumps({"times": {"started": now, "ready": now}}))
    print(f"training from step {step}", flush=True)
    status("running")
    if what == "diverge":
        status("diverged", "the loss is nan at step 3")
        return 1
    if what == "input":
        print("hpcbench: train.window: too long", file=sys.stderr)
        return 2
    if what == "memory":
        print("slurmstepd: error: Detected 1 oom_kill event in StepId=1.0", file=sys.stderr)
        return 137
    if what == "node":
        print("srun: error: Node failure on n2", file=sys.stderr)
        return 1
    if what == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if what in ("crash", "crash-once"):
        step = 20
        save()
        if what == "crash-once":
            behaviour.write_text("done")
        os.kill(os.getpid(), signal.SIGSEGV)
    if what == "stacks":
        (run / "stacks.0.txt").write_text("Timeout! Thread 0x1: allreduce")
        return 1
    if what == "hang":
        time.sleep(60)
    while step < NUM_STEPS:
        step += 1
        if what == "slow":
            time.sleep(0.05)
        status("running")
        if stopped:
            save()
            status("interrupted", "SIGTERM")
            return 3
    save()
    status("done")
    # Two of three repeats agree; those of "steady" do to a thousandth.
    spread = 1e-3 if what == "steady" else 0.2
    metric = {"name": "step_seconds", "value": 1.0 + spread * (settings["seed"] % 3 == 0)}
    result = {"schema": 1, "kind": "train", "status": "done", "metrics": [metric]}
    result |= {"config_hash": "", "config": settings, "dataset": {}}
    (run / "result.json").write_text(json.dumps(result))
    if what == "killed-late":
        os.kill(os.getpid(), signal.SIGKILL)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
