"""Ranks with a range of layers each, whole or by rows: the output of one process, what is refused, and a rank that is lost."""

import json
import os
import signal
import tempfile

from launch import DUALITY, PROMPT, Running, duality, expect, mpirun, ranks_of, two_programs

LONG = (PROMPT + " He lived in a wood. ") * 60

for precision in ["int8", "bf16", "f32"]:
    arguments = ["generate", LONG, "--seed", "7", "--max-tokens", "12", "--json", "--precision", precision, "--threads", "1"]
    alone, err, status, _ = duality(0, *arguments)
    expect(status == 0, f"{precision} without MPI", err)
    expected = json.loads(alone)["tokens"]
    for ranks, more in [(1, []), (2, []), (3, []), (2, ["--balance", "1:3"]), (5, []), (3, ["--tensor-parallel", "1"])]:
        out, err, status, seconds = duality(ranks, *arguments, "--pipeline-parallel", str(ranks), *more)
        what = f"{precision} in {ranks} stages{' '.join(['', *more])}"
        expect(status == 0 and json.loads(out)["tokens"] == expected, f"{what}: the same tokens ({seconds:.1f} s)", out + err)
        expect(ranks == 1 or "decoding waits for each in turn" in err, f"{what}: what it is good for", err)
    for rows, stages, more in [
        (2, 2, []), (3, 2, []), (2, 3, ["--balance", "5:3:1:2:2:4"]), (2, 2, ["--wire", "int8"]), (2, 2, ["--balance", "auto"]),
    ]:
        cut = ["--tensor-parallel", str(rows), "--pipeline-parallel", str(stages), *more]
        out, err, status, seconds = duality(rows * stages, *arguments, *cut)
        what = f"{precision} {' '.join(cut)}"
        expect(status == 0 and json.loads(out)["tokens"] == expected, f"{what}: the same tokens ({seconds:.1f} s)", out + err)
        expect(f"{rows} by {stages} ranks" in err, f"{what}: how it is cut", err)

with tempfile.TemporaryDirectory() as folder:
    text = f"{folder}/text"
    with open(text, "w") as file:
        file.write(LONG)
    for window in ["64", "1024"]:
        arguments = ["perplexity", text, "--window", window, "--threads", "1"]
        alone = duality(0, *arguments)
        for rows, stages in [(1, 2), (1, 3), (2, 2)]:
            cut = ["--tensor-parallel", str(rows), "--pipeline-parallel", str(stages)]
            out, err, status, _ = duality(rows * stages, *arguments, *cut)
            expect((out, status) == (alone[0], 0), f"perplexity, windows of {window}, {' '.join(cut)}: the same report", out + err)

for rows, stages in [(1, 2), (2, 2)]:
    out, err, status, _ = duality(
        rows * stages, "bench", "--prompt", "300", "--generate", "4", "--repeats", "1", "--json", "--tensor-parallel", str(rows),
        "--pipeline-parallel", str(stages), "--threads", "1")
    expect(status == 0 and json.loads(out)["prompt_tokens_per_second"] > 0, f"bench of {rows} by {stages} ranks", out + err)

# What is refused, and what to type.
for ranks, arguments, words, what in [
    (0, ["--pipeline-parallel", "2"], ["mpirun -n 2", "--pipeline-parallel 2"], "one process where 2 were asked"),
    (3, ["--pipeline-parallel", "2"], ["found 3", "mpirun -n 2", "leave --pipeline-parallel out"], "3 processes where 2 were asked"),
    (2, ["--pipeline-parallel", "1"], ["found 2", "mpirun -n 1"], "2 processes where 1 was asked"),
    (0, ["--tensor-parallel", "2", "--pipeline-parallel", "2"], ["4 processes", "mpirun -n 4"], "one process where 2 by 2 were asked"),
    (3, ["--tensor-parallel", "2", "--pipeline-parallel", "2"], ["found 3", "mpirun -n 4", "whose product is 3"], "3 processes where 2 by 2 were asked"),
    (2, ["--tensor-parallel", "3000000000", "--pipeline-parallel", "4000000000"], ["more processes than can be counted"], "a product beyond 64 bits"),
    (4, ["--tensor-parallel", "2", "--pipeline-parallel", "2", "--balance", "1:2"], ["4 shares", "--balance 1:2:1:1"], "two shares of four"),
    (2, ["--pipeline-parallel", "0"], ["at least 1"], "no stage"),
    (2, ["--pipeline-parallel=-2"], ["at least 1"], "stages below none"),
    (2, ["--pipeline-parallel", "1000000"], ["mpirun -n 1000000"], "a million stages"),
    (2, ["--pipeline-parallel", "2", "--wire", "int8"], ["--wire int8"], "bytes on the wire"),
    (2, ["--pipeline-parallel", "2", "--balance", "1:2:3"], ["2 shares", "--balance 1:2"], "three shares of two"),
    (2, ["--pipeline-parallel", "2", "--engine", "reference"], ["fast engine"], "the reference"),
]:
    out, err, status, _ = duality(ranks, "generate", PROMPT, "--max-tokens", "2", *arguments)
    expect(status not in (0, None) and not out and all(word in err for word in words), f"{what}: refused", out + err)

command = ["generate", PROMPT, "--max-tokens", "4"]
out, err, status, _ = two_programs([*command, "--pipeline-parallel", "2"], [*command, "--tensor-parallel", "2"])
expect(status != 0 and "rank 1: cut of the model" in err and not out, "another cut on a rank", out + err)
cut = ["--tensor-parallel", "1", "--pipeline-parallel", "2", "--wire"]
out, err, status, _ = two_programs([*command, *cut, "auto"], [*command, *cut, "float32"])
expect(status != 0 and "rank 1: --wire" in err and not out, "another --wire on a rank", out + err)

# A rank that ends, and one that falls silent.
endless = [DUALITY, *command, "--max-tokens", "100000", "--ignore-end", "--context", "200000", "--threads", "1"]
for victim in [0, 1, 2]:
    with Running([*mpirun(3), *endless, "--pipeline-parallel", "3"]) as job:
        expect(job.wait_for_output(), "text comes", job.text(job.err))
        os.kill(ranks_of(job.process.pid)[victim], signal.SIGKILL)
        out, err, status, seconds = job.wait(30)
        expect(status not in (0, None) and seconds <= 5, f"stage {victim} killed: ended after {seconds:.1f} s with {status}", err)
for cut, victim in [([1, 3], 1), ([1, 3], 2), ([2, 2], 1), ([2, 2], 2), ([2, 2], 3)]:
    rows, stages = cut
    cut = ["--tensor-parallel", str(rows), "--pipeline-parallel", str(stages)]
    with Running([*mpirun(rows * stages), *endless, *cut, "--rank-timeout", "2"]) as job:
        expect(job.wait_for_output(), "text comes", job.text(job.err))
        stopped = ranks_of(job.process.pid)[victim]
        os.kill(stopped, signal.SIGSTOP)
        out, err, status, seconds = job.wait(30)
        expect(status not in (0, None) and f"no answer from rank {victim}" in err and "for 2 s " in err,
               f"{rows} by {stages} ranks, rank {victim} stopped: named, and ended after {seconds:.1f} s with {status}", err)
