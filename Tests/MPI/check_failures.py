"""A rank that is killed ends all, soon and with a failure."""

import os
import signal

from launch import DUALITY, PROMPT, Running, expect, mpirun, ranks_of

for victim in [0, 1]:
    command = [DUALITY, "generate", PROMPT, "--max-tokens", "100000", "--ignore-end", "--context", "200000", "--tensor-parallel", "2", "--threads", "1"]
    with Running([*mpirun(2), *command]) as job:
        expect(job.wait_for_output(), "text comes", job.text(job.err))
        ranks = ranks_of(job.process.pid)
        expect(len(ranks) == 2, "two ranks run", str(ranks))
        os.kill(ranks[victim], signal.SIGKILL)
        out, err, status, seconds = job.wait(30)
        expect(status not in (0, None) and seconds <= 5, f"rank {victim} killed: ended after {seconds:.1f} s with {status}", err)
