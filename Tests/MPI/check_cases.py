"""Cases of `check` and `verify` shared out among ranks: the reports, messages and exit codes of one process."""

import json
import os
import re
import shutil
import signal
import tempfile
import time

from launch import DUALITY, Running, duality, expect, is_open_mpi, mpirun, ranks_of, two_programs


def same(what, *arguments, status=0):
    """The same standard output and status on 1, 2 and 3 ranks as alone; what it is."""
    alone = duality(0, *arguments)
    expect(alone[2] == status, f"{what}: one process ends with {status}", alone[0] + alone[1])
    for ranks in [1, 2, 3]:
        out, err, found, seconds = duality(ranks, *arguments)
        expect((out, found) == (alone[0], status), f"{what} on {ranks} ranks ({seconds:.1f} s)", out + err)
    return alone


for form in [[], ["--json"]]:
    same(f"check --cases {' '.join(form)}", "check", "--cases", "300", "--seed", "3", *form)

with tempfile.TemporaryDirectory() as folder:
    suite, results = f"{folder}/suite", f"{folder}/results"
    expect(duality(0, "vectors", suite, "--suite", "smoke", "--seal")[2] == 0, "a sealed suite")
    os.mkdir(results)
    scans = [case for case in json.load(open(f"{suite}/manifest.json"))["cases"] if case["kind"] == "scan"]
    for case in scans:
        options = [] if case["options"].get("dt_softplus", True) else ["--no-dt-softplus"]
        out, err, status, _ = duality(0, "ssd", "--in", f"{suite}/{case['file']}", "--out", f"{results}/{case['file']}", "--precision", "f32", *options)
        expect(status == 0, f"results of {case['name']}", err)
    forms = [[], ["--verbose"], ["--json"], ["--markdown"], ["--html"]]
    for form in forms:
        same(f"verify {' '.join(form)}", "verify", suite, "--against", results, *form)
    same("verify --repeat", "verify", suite, "--against", results, "--repeat", results, "--json")
    same("verify --sealed", "verify", suite, "--sealed", "--json")

    # A wrong result, a file cut off, one that is nobody's.
    broken = f"{folder}/broken"
    shutil.copytree(results, broken)
    files = [f"{broken}/{case['file']}" for case in scans]
    with open(files[0], "r+b") as file:
        file.seek(-3, os.SEEK_END)
        file.write(b"\x42")
    os.truncate(files[1], os.path.getsize(files[1]) - 9)
    shutil.copy(files[2], f"{broken}/stranger.safetensors")
    for form in forms:
        alone = same(f"verify {' '.join(form)} of broken results", "verify", suite, "--against", broken, *form, status=1)
        expect(scans[1]["name"] in alone[0] and "stranger" in alone[0], "the broken file is named", alone[0])

    # Operands that are not those of the manifest, and a seal that does not hold.
    damaged = f"{folder}/damaged"
    shutil.copytree(suite, damaged)
    for file in [scans[2]["file"], f"expected/{scans[3]['file']}"]:
        with open(f"{damaged}/{file}", "r+b") as file:
            file.seek(-1, os.SEEK_END)
            file.write(b"\x11")
    same("verify of damaged operands", "verify", damaged, "--against", results, "--json", status=1)
    same("verify of a damaged seal", "verify", damaged, "--sealed", status=1)

    for arguments, words in [
        (["verify", suite, "--against", f"{folder}/nowhere"], "nowhere"), (["verify", suite], "--against"),
        (["check", "--cases", "0"], "--cases"), (["check", "--cases", "2", "--rank-timeout", "0"], "--rank-timeout"),
    ]:
        alone = duality(0, *arguments)
        message = next(line for line in alone[1].splitlines() if words in line)
        out, err, status, _ = duality(2, *arguments)
        expect(alone[2] == 2 and status != 0 and message in err and not out, f"{' '.join(arguments[:2])}: the message of one process", err)
    out, err, status, _ = duality(2, "check", "--exhaustive")
    expect(status != 0 and "--cases N" in err and not out, "check without an end", err)

    for first, second, what in [
        (["check", "--cases", "9"], ["check", "--cases", "8"], "--cases"),
        (["check", "--cases", "9"], ["check", "--cases", "9", "--seed", "2"], "--seed"),
        (["verify", suite, "--against", results], ["verify", suite, "--against", broken], "results"),
        (["verify", suite, "--against", results], ["verify", damaged, "--against", results, "--no-diagnosis"], "options"),
    ]:
        out, err, status, _ = two_programs(first, second)
        expect(status != 0 and f"rank 1: {what}" in err and not out, f"{first[0]} with other {what} on a rank", out + err)

    # A rank that dies, and one that says nothing any more, while cases are under way. Where Open MPI is just reading from a rank that
    # dies, it ends rank 0 before that can say what was under way; so one of several deaths has to be told with its cases.
    def struck(sign):
        """What two ranks say, and how they end, when rank 1 gets a signal."""
        with Running([*mpirun(2), DUALITY, "check", "--cases", "1000000", "--rank-timeout", "2"]) as job:
            deadline = time.monotonic() + 60
            while len(ranks_of(job.process.pid)) < 2 and time.monotonic() < deadline:
                time.sleep(0.1)
            time.sleep(2)
            victim = ranks_of(job.process.pid)[1]
            os.kill(victim, sign)
            out, err, status, seconds = job.wait(30)
            if sign == signal.SIGSTOP:
                os.kill(victim, signal.SIGKILL)
        # MPICH's launcher itself speaks on standard output.
        has_no_report = not out or not is_open_mpi() and "BAD TERMINATION" in out and "PASS" not in out
        expect(status not in (0, None) and has_no_report and seconds <= 7, f"rank 1 gets {sign.name}: ended after {seconds:.1f} s with {status}", err)
        return err, status

    err, status = struck(signal.SIGSTOP)
    expect(status == 3 and "rank 1" in err and "case " in err, "the silent rank is named with its cases", err)
    found = re.search(r"what --cases (\d+) shows, as far as this has got:\n(.*?\nPASS [^\n]*\n)", err, re.DOTALL)
    expect(found, "what the cases before have shown is kept", err)
    expect(found.group(2) == duality(0, "check", "--cases", found.group(1))[0], f"and is the report of {found.group(1)} cases", err)
    deaths = [struck(signal.SIGKILL)[0] for _ in range(3)]
    if is_open_mpi():
        expect(all("rank 1" in err for err in deaths), "the rank that died is named", str(deaths))
        expect(any("under way on rank 1" in err and "case " in err for err in deaths), "and what it had", str(deaths))
