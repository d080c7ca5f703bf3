"""Generated rows at large lengths: every answer found again in the text by a solver that shares nothing with the generator's, the same
bytes for a seed, the length that was asked for, and less than a minute for a row of 128K tokens.

    python3 check_rows.py [--lengths 1K,2K,…] [--tasks NAME,…] [--count 2]
"""

import argparse
import collections
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import time

from command import BINARY, duality

TASKS = (
    "niah_single_1", "niah_single_2", "niah_single_3", "niah_multikey_1", "niah_multikey_2", "niah_multikey_3", "niah_multivalue",
    "niah_multiquery", "vt", "cwe", "fwe", "qa", "babilong_qa1", "babilong_qa2", "babilong_qa3", "babilong_qa4", "babilong_qa5",
    "mrcr_2", "mrcr_4", "mrcr_8",
)
PLACES = "bathroom|bedroom|garden|hallway|kitchen|office"
THINGS = "apple|football|milk"
PEOPLE = "Mary|John|Daniel|Sandra|Bill|Fred|Jeff"


def needles(row):
    *_, question = row["input"].split("\n")
    noun, asked = re.fullmatch(r"What (?:is|are all) the special magic (number|uuid)s? for (.*)\?", question).groups()
    values = []
    for key in re.split(", | and ", asked):
        values += re.findall(rf"special magic {noun}s for {re.escape(key)} is: ([0-9a-f-]+)\.", row["input"])
    return values


def variables(row):
    *lines, question = row["input"].split("\n")
    wanted, values = re.search(r"\d+", question)[0], {}
    for name, number, other in re.findall(r"^VAR ([A-Z]{5}) = (?:(\d+)|VAR ([A-Z]{5}))$", "\n".join(lines), re.M):
        values[name] = number or values[other]
    return [name for name, value in values.items() if value == wanted]


def common_words(row):
    counts = collections.Counter(re.findall(r"\d+\. (\w+)", row["input"].split("\n")[0]))
    (_, tenth), (_, next_one) = counts.most_common(11)[9:11]
    assert tenth > next_one, "the tenth word is not more frequent than the eleventh"
    return [word for word, _ in counts.most_common(10)]


def coded_words(row):
    ranks = collections.Counter(re.findall(r"\b[a-z]{6}\b", row["input"].split("\n")[0])).most_common(4)
    assert len({count for _, count in ranks}) == 4, "ranks are tied"
    return [word for word, _ in ranks[:3]]


def gap(row):
    text, question = row["input"].rsplit("\n\n", 1)
    sentence = question.split("in this sentence? ", 1)[1]
    left, right = sentence.split("____")
    found = re.findall(rf"(?:^|(?<=\s)){re.escape(left)}(\w+){re.escape(right)}", text, re.M)
    assert len(found) == 1, found
    return found


def events(text):
    patterns = (
        ("move", rf"\b({PEOPLE}) (?:went to|journeyed to|travelled to|moved to|went back to) the ({PLACES})\."),
        ("take", rf"\b({PEOPLE}) (?:grabbed|took|got|picked up) the ({THINGS})\."),
        ("drop", rf"\b({PEOPLE}) (?:dropped|put down|left|discarded) the ({THINGS})\."),
        ("give", rf"\b({PEOPLE}) (?:gave|handed|passed) the ({THINGS}) to ({PEOPLE})\."),
        ("lies", rf"\bThe ({PLACES}) is (north|south|east|west) of the ({PLACES})\."),
    )
    found = [(match.start(), kind, match.groups()) for kind, pattern in patterns for match in re.finditer(pattern, text)]
    spoken = len(re.findall(rf"\b(?:{PEOPLE}|{PLACES}|{THINGS})\b", text))
    assert spoken == sum(len([p for p in parts if p not in ("north", "south", "east", "west")]) for _, _, parts in found), "words of facts among the filler"
    return [event[1:] for event in sorted(found)]


def facts(row):
    question, where, holder, trail, gift, north = row["question"], {}, {}, collections.defaultdict(list), None, []
    for kind, parts in events(row["input"]):
        if kind == "move":
            where[parts[0]] = parts[1]
        elif kind == "take":
            assert parts[0] in where, "a thing is taken where nobody knows"
            holder[parts[1]] = parts[0]
        elif kind == "drop":
            assert holder.pop(parts[1]) == parts[0]
        elif kind == "give":
            assert holder[parts[1]] == parts[0] and where[parts[0]] == where[parts[2]]
            holder[parts[1]], gift = parts[2], parts
        else:
            north.append(parts)
        for thing, person in holder.items():
            if trail[thing][-1:] != [where[person]]:
                trail[thing].append(where[person])
    opposite = {"north": "south", "south": "north", "east": "west", "west": "east"}
    sides = {(b, way): a for a, way, b in north} | {(a, opposite[way]): b for a, way, b in north}
    rules = (
        (rf"Where is ({PEOPLE})\?", lambda p: where[p]), (rf"Where is the ({THINGS})\?", lambda t: trail[t][-1]),
        (rf"Where was the ({THINGS}) before the ({PLACES})\?", lambda t, p: trail[t][-2] if trail[t][-1] == p else None),
        (rf"What is the ({PLACES}) (\w+) of\?", lambda p, way: sides[p, opposite[way]]),
        (rf"What is (\w+) of the ({PLACES})\?", lambda way, p: sides[p, way]),
        (rf"What did ({PEOPLE}) give to ({PEOPLE})\?", lambda a, b: gift[1] if (gift[0], gift[2]) == (a, b) else None),
        (rf"Who gave the ({THINGS}) to ({PEOPLE})\?", lambda t, b: gift[0] if gift[1:] == (t, b) else None),
        (rf"Who did ({PEOPLE}) give the ({THINGS}) to\?", lambda a, t: gift[2] if gift[:2] == (a, t) else None),
    )
    for pattern, answer in rules:
        if match := re.fullmatch(pattern, question):
            return [answer(*match.groups())]
    raise AssertionError(question)


def conversation(row):
    messages = json.loads(row["prompt"])
    last = messages[-1]["content"]
    letters = re.search(r"\b[A-Za-z0-9]{10}\b", last)[0]
    number, what = re.search(r"(\d+)(?:st|nd|rd|th) (.+?)\.?$", last).groups()
    places = [i for i, m in enumerate(messages[:-1]) if m["role"] == "user" and re.fullmatch(rf"Write an? {re.escape(what.rstrip('.'))}\.", m["content"])]
    assert len(places) == row["n_needles"] and row["desired_msg_index"] == places[int(number) - 1] + 1
    assert row["total_messages"] == len(messages) and row["n_chars"] == sum(len(m["content"]) for m in messages)
    return [letters + messages[places[int(number) - 1] + 1]["content"]]


def solver(task):
    names = {"vt": variables, "cwe": common_words, "fwe": coded_words, "qa": gap, "niah": needles, "babilong": facts, "mrcr": conversation}
    return names[task.split("_")[0]]


def answers(row):
    return row["outputs"] if "outputs" in row else [row["target"] if "target" in row else row["answer"]]


def text(row):
    if "prompt" in row:
        return "\n".join(message["content"] for message in json.loads(row["prompt"]))
    return row["input"] + row.get("question", "") + row.get("answer_prefix", "")


def counts(texts):
    """Tokens of each text."""
    lines = "".join(json.dumps(text) + "\n" for text in texts)
    run = subprocess.run([BINARY, "tokenize", "--batch"], input=lines, capture_output=True, text=True, check=True)
    return [len(json.loads(line)) for line in run.stdout.splitlines()]


def check(task, length, rows, folder):
    tokens = int(length[:-1]) * 1024
    started = time.monotonic()
    paths = [folder / name for name in ("a.jsonl", "b.jsonl", "other.jsonl")]
    for path, seed in zip(paths, (7, 7, 8)):
        duality("evaluate", "--generate", task, "--length", length, "--count", rows if seed == 7 else 1, "--seed", seed, "--out", path)
    seconds = (time.monotonic() - started) / (2 * rows + 1)
    assert paths[0].read_bytes() == paths[1].read_bytes(), "other bytes for the same seed"
    assert paths[0].read_bytes() != paths[2].read_bytes(), "the same bytes for another seed"
    made = [json.loads(line) for line in paths[0].read_text(encoding="utf-8").split("\n") if line]
    for row in made:
        found = solver(task)(row)
        assert sorted(found) == sorted(answers(row)), (found, answers(row))
    least = (0.8 if tokens <= 1024 else 0.9) * tokens - 300
    lengths = counts(map(text, made))
    assert all(least <= n <= tokens for n in lengths), f"{lengths} tokens"
    assert seconds < 60, f"{seconds:.1f} s a row"
    return f"{min(lengths):,} tokens or more, {seconds:.1f} s a row"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lengths", default="1K,2K,4K,8K,16K,32K,64K,128K")
    parser.add_argument("--tasks", default=",".join(TASKS))
    parser.add_argument("--count", type=int, default=2)
    options = parser.parse_args()
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        for length in options.lengths.split(","):
            for task in options.tasks.split(","):
                try:
                    said = check(task, length, options.count, pathlib.Path(folder))
                    print(f"ok      {task} {length}: {said}", flush=True)
                except Exception as error:
                    failed += 1
                    print(f"FAILED  {task} {length}: {type(error).__name__}: {str(error)[:500]}", flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(1 if main() else 0)
