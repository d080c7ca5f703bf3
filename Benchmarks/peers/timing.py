"""Alternation: every engine has its turn, round after round, and the other load of the machine is watched.

A turn is one process of an engine that reports rates (or seconds) of several repeats. What other processes used of the processors meanwhile
is read from the system's counters; a turn with more than 5 % of one core is taken again, twice at most, and the one with the least is kept.
"""
import json
import os
import resource
import statistics
import subprocess
import sys
import time

LOAD_LIMIT, TRIES = 0.05, 3


def busy_seconds():
    """Seconds that all processors together were not idle."""
    fields = list(map(int, open("/proc/stat").readline().split()[1:]))
    return (sum(fields[:3]) + fields[5] + fields[6]) / os.sysconf("SC_CLK_TCK")


def own_seconds():
    children, here = (resource.getrusage(who) for who in (resource.RUSAGE_CHILDREN, resource.RUSAGE_SELF))
    return children.ru_utime + children.ru_stime + here.ru_utime + here.ru_stime


def output(*command):
    """What a command prints; its chatter goes to our standard error when it fails."""
    # `PEERS_WRAP`: a command before each, such as one that keeps the machine's other work away.
    command = [*os.environ.get("PEERS_WRAP", "").split(), *command]
    result = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    if result.returncode:
        sys.stderr.write(result.stderr[-2000:])
        raise RuntimeError(f"{' '.join(map(str, command))} ended with {result.returncode}")
    return result.stdout


def output_json(*command):
    text = output(*command)
    return json.loads(text[min(i for i in (text.find("["), text.find("{")) if i >= 0):])


class Samples:
    """Rates of one contender in one test, over all rounds."""

    def __init__(self, values=(), load=0.0):
        self.values, self.load = list(values), load

    @property
    def median(self):
        return statistics.median(self.values)

    def json(self):
        return {"median": self.median, "min": min(self.values), "max": max(self.values), "repeats": self.values,
                "load_of_others": round(self.load, 3)}


def turn(contender):
    """One turn: {test: values}, and the share of a core that others used."""
    best, least = None, None
    for _ in range(TRIES):
        busy, own, start = busy_seconds(), own_seconds(), time.monotonic()
        values = contender()
        wall = time.monotonic() - start
        load = max(0.0, (busy_seconds() - busy - (own_seconds() - own)) / wall)
        if least is None or load < least:
            best, least = values, load
        if load < LOAD_LIMIT:
            break
    return best, least


def alternate(contenders, rounds, found, save):
    """Every contender in turn, `rounds` times; what is measured is added to `found`, and `save` is called after every turn.

    contenders: {name: function without arguments that gives {test: [values]}}. found: {name: {test: Samples}}. An engine that fails is left out, with a word
    on standard error.
    """
    failed = set()
    for index in range(rounds):
        for name, contender in contenders.items():
            if name in failed:
                continue
            print(f"  {name}, round {index + 1} of {rounds}", file=sys.stderr, flush=True)
            try:
                values, load = turn(contender)
            except (RuntimeError, ValueError, OSError) as error:
                print(f"  {name} failed and is left out: {error}", file=sys.stderr, flush=True)
                failed.add(name)
                continue
            for test, numbers in values.items():
                samples = found.setdefault(name, {}).setdefault(test, Samples())
                samples.values += numbers
                samples.load = max(samples.load, load)
            save()
