"""Writes prompts.json.gz: what every template makes of every conversation.

The prompts are those of Jinja2 (3.1.6 from PyPI) set up as transformers 5.24 does for chat
templates: an immutable sandbox, trim_blocks, lstrip_blocks, loop controls, a `generation` block, a
`tojson` that is json.dumps, raise_exception and strftime_now (here: always the same moment, in UTC).
A template that fails on a conversation has null. Templates are templates/*.jinja and those that the
program knows by name, which it prints.

    python3 make_conversations.py && python3 make_prompts.py PATH/TO/duality
"""
import datetime
import gzip
import json
import pathlib
import subprocess
import sys

import jinja2
from jinja2.ext import Extension
from jinja2.sandbox import ImmutableSandboxedEnvironment

HERE = pathlib.Path(__file__).parent
NOW = datetime.datetime.fromtimestamp(1_750_000_000, datetime.timezone.utc)
NAMED = ["chatml", "qwen3", "qwen3-instruct", "qwen3-thinking", "qwen3-coder", "qwen2.5", "hermes", "llama3", "llama3.1",
         "mistral"]
TOKENS = {"bos_token": "<s>", "eos_token": "</s>"}


class Generation(Extension):
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_passed_on"), [], [], body).set_lineno(line)

    def _passed_on(self, caller):
        return caller()


def environment():
    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)

    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    env = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, "jinja2.ext.loopcontrols"])
    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = NOW.strftime
    return env


def prompts(source, cases):
    template = environment().from_string(source)
    for case in cases:
        options = dict(case["request"])
        variables = {"tools": None, "documents": None, "add_generation_prompt": False, **TOKENS, **options}
        try:
            yield template.render(**variables)
        except Exception:
            yield None


def main():
    cases = json.loads((HERE / "conversations.json").read_text())
    texts = {}
    folder = HERE / "templates"
    for path in sorted(folder.glob("*.jinja")):
        texts[path.stem] = list(prompts(path.read_text(), cases))
    for name in NAMED:
        command = [sys.argv[1], "template", "--source", "--template", name]
        source = subprocess.run(command, capture_output=True, check=True, text=True).stdout
        texts[f"named {name}"] = list(prompts(source, cases))
    data = json.dumps(texts, ensure_ascii=False).encode()
    (HERE / "prompts.json.gz").write_bytes(gzip.compress(data, 9, mtime=0))
    failed = sum(text is None for prompts in texts.values() for text in prompts)
    print(f"{len(texts)} templates, {len(cases)} conversations, {failed} refused, {len(data)} bytes")


if __name__ == "__main__":
    main()
