"""The command where only Python is: ``python -m duality_ssd vectors OUT`` and ``python -m duality_ssd verify SUITE --against RESULTS``."""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from pathlib import Path
from typing import List, Optional

from . import _files
from ._errors import InputError
from ._verify import Report, _call, _judged
from ._vectors import faults, vectors


def _text(value: object) -> str:
    """An option of the manifest as a file's string table has it."""
    if value is None:
        return "inf"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return ",".join(_text(item) for item in value)
    return str(value)


def _require_kinds(kinds: Optional[List[str]], option: str) -> None:
    """Refuses a kind that is none: a misspelt one would leave its cases out without a word."""
    known = sorted({kind for fault in faults() for kind in fault.kinds} - {"all"})
    for kind in kinds or []:
        if kind not in known:
            raise InputError("value", option, ", ".join(known), repr(kind))


def write_vectors(output: Path, suite: str, dtype: str, kinds: Optional[List[str]]) -> int:
    """Writes a file for each case and the manifest; returns how many cases there are."""
    output.mkdir(parents=True, exist_ok=True)
    entries = []
    for case in vectors(suite, dtype=dtype, kinds=kinds):  # type: ignore[arg-type]
        path = output / f"{case.name}.safetensors"
        _files.write(path, case.inputs, case.options)
        entries.append(
            {
                "name": case.name, "file": path.name, "kind": case.kind, "catches": case.catches,
                "options": {key: value for key, value in case.options.items() if key != "kind"},
                "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
                "inputs": {name: {"shape": list(array.shape)} for name, array in case.inputs.items()},
            }  # fmt: skip
        )
    manifest = {"schema": 1, "suite": suite, "dtype": dtype, "cases": entries}
    (output / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    return len(entries)


def verify_directory(suite: Path, results: Path, precision: Optional[str], diagnose: bool) -> Report:
    """Judges the files of results against the suite; a case without a file is not checked."""
    place = suite / "manifest.json"
    if not place.is_file():
        raise InputError("missing-file", str(place), "the manifest of a suite", "no such file")
    if not results.is_dir():
        raise InputError("missing-file", str(results), "a directory of results", "no such directory")
    try:
        manifest = json.loads(place.read_text(encoding="utf-8"))
        entries = [(str(e["name"]), str(e["kind"]), Path(str(e["file"])).name, dict(e["options"]), e.get("sha256"))
                   for e in manifest["cases"]]  # fmt: skip
    except (ValueError, KeyError, TypeError):
        raise InputError("json", str(place), "the manifest of a suite", "something else") from None
    calls = []
    for name, kind, file, options, digest in entries:
        found = results / file
        if not found.is_file():
            continue
        raw = (suite / file).read_bytes()
        if digest and hashlib.sha256(raw).hexdigest() != digest:
            raise InputError("malformed", str(suite / file), "the file that the manifest was written for", "another")
        inputs, _ = _files.read(suite / file)
        outputs, _ = _files.read(found)
        described = {key: _text(value) for key, value in options.items()}
        calls.append(_call(outputs, inputs, kind=kind, options=described, name=name))
    return _judged(calls, precision, str(results), str(suite), diagnose)


def main(arguments: Optional[List[str]] = None) -> int:
    """Returns the exit status: 0 PASS, 1 SUSPECT and FAIL, 2 where nothing was judged or the call is wrong."""
    parser = argparse.ArgumentParser(prog="python -m duality_ssd", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    writing = commands.add_parser("vectors", help="write test vectors")
    writing.add_argument("output", type=Path)
    writing.add_argument("--suite", choices=["smoke", "standard", "stress"], default="standard")
    writing.add_argument("--dtype", choices=["f32", "bf16", "f16"], default="f32")
    writing.add_argument("--kinds", nargs="+", help="only cases of these kinds")
    judging = commands.add_parser("verify", help="judge results on test vectors")
    judging.add_argument("suite", type=Path)
    judging.add_argument("--against", type=Path, required=True, metavar="RESULTS")
    judging.add_argument("--precision", help="a known kernel, or KEY=VALUE items")
    judging.add_argument("--report", type=Path, help="also write the report here: .html, .md, .json or .txt")
    judging.add_argument("--no-diagnosis", action="store_true")
    listing = commands.add_parser("faults", help="list the faults that a diagnosis can name")
    listing.add_argument("--kind")
    given = parser.parse_args(arguments)
    try:
        if given.command == "vectors":
            _require_kinds(given.kinds, "--kinds")
            count = write_vectors(given.output, given.suite, given.dtype, given.kinds)
            print(f"{given.output}: {count} cases of suite {given.suite} in {given.dtype}")
            return 0
        if given.command == "faults":
            _require_kinds([given.kind] if given.kind else None, "--kind")
            for fault in faults(given.kind):
                print(f"{fault.name}: {fault.summary}")
            return 0
        report = verify_directory(given.suite, given.against, given.precision, not given.no_diagnosis)
    except (InputError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(report.text)
    if given.report:
        report.save(given.report)
    return {"PASS": 0, "UNCHECKED": 2}.get(report.verdict, 1)


if __name__ == "__main__":
    sys.exit(main())
