"""`--dry-run` beside the run: the predicted time is within a factor of two of the measured one.

    python3 check_cost.py [--precision bf16]
"""

import argparse
import json
import pathlib
import sys
import tempfile

from command import duality


def questions(folder):
    """Choices after eight examples, and sums to be written out."""
    rows = [
        {"question": f"What colour is thing {i}?", "choices": ["red", "green", "blue", "white"], "answer": i % 4, "subject": f"colours {i % 3}"}
        for i in range(300)]
    (folder / "mmlu").mkdir()
    (folder / "mmlu/dev.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows[:30]))
    (folder / "mmlu/test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows[30:]))
    (folder / "gsm8k").mkdir()
    sums = [{"question": f"What is {a} plus {a + 3}?", "answer": f"The sum. #### {2 * a + 3}"} for a in range(60)]
    (folder / "gsm8k/fewshot.jsonl").write_text("".join(json.dumps(row) + "\n" for row in sums[:8]))
    (folder / "gsm8k/test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in sums[8:]))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--precision", default="bf16")
    options = parser.parse_args()
    failed = 0
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        questions(folder)
        runs = {
            "needles": ["--tasks", "niah_single_2,vt", "--lengths", "1K,4K", "--limit", 8],
            "facts and words": ["--tasks", "babilong_qa1,cwe", "--lengths", "2K", "--limit", 16],
            "choices": ["--tasks", "mmlu", "--data", folder],
            "sums after examples": ["--tasks", "gsm8k", "--data", folder, "--max-tokens", 64],
            "one at a time": ["--tasks", "niah_single_1", "--lengths", "2K", "--limit", 8, "--batch", 1, "--no-reuse"],
        }
        for what, arguments in runs.items():
            arguments += ["--precision", options.precision]
            predicted = json.loads(duality("evaluate", *arguments, "--dry-run", "--json"))["seconds"]
            measured = json.loads(duality("evaluate", *arguments, "--out", folder / what, "--json"))["seconds"]
            good = 0.5 <= predicted / measured <= 2
            failed += not good
            print(f"{'ok     ' if good else 'FAILED '} {what}: predicted {predicted:.1f} s, measured {measured:.1f} s", flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(1 if main() else 0)
