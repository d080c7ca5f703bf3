"""The command that is measured."""
import json
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
FAMILY = ("dense", "m2", "gdn", "gka", "bmf", "swa")


class Program:
    def __init__(self, path, threads):
        if path is None:
            subprocess.run(["swift", "build", "-c", "release", "--product", "duality"], cwd=ROOT, check=True)
            path = ROOT / ".build/release/duality"
        self.path, self.threads = path.resolve(), threads

    def run(self, *arguments):
        """Its standard output."""
        command = [self.path, *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
        if done.returncode:
            raise SystemExit(f"{' '.join(map(str, command))}: {done.stderr[-2000:]}")
        return done.stdout

    def json(self, *arguments):
        return json.loads(self.run(*arguments, "--json"))

    def instruction_set(self):
        model = ROOT / "Models/family/swa"
        found = self.json("bench", "--model", model, "--precision", "f32", "--prompt", 8, "--generate", 0, "--repeats", 1)
        return found.get("instruction_set", "")
