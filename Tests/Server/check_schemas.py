"""Documents of 200 random schemas: every one validates, by a validator that somebody else wrote; what is not supported is refused by name.

    python3 check_schemas.py [COUNT] [SEED]

Schemas are drawn from all keywords of the contract. hypothesis-jsonschema must find an instance of each, so that none asks for the
impossible, and jsonschema, with its format checker, judges what the server answers, at temperature 0 and hot, whole and streamed.
"""

import concurrent.futures
import copy
import json
import random
import sys
import warnings

import hypothesis
import jsonschema
from client import assembled, server
from hypothesis_jsonschema import from_schema

FORMATS = ("date", "time", "date-time", "uuid", "ipv4", "email")
PATTERNS = ("^[a-c]{2,5}$", "ab+", "^[0-9]{3}-[0-9]{2}$", "(x|yz)$", "^(?:fj|oak)?s$", "[^0-9]", "^.{3}$", "^\\d+(\\.\\d+)?$", "^[\\w]{1,8}$")
NAMES = ("name", "n", "état", "a b", "quote\"", "x_1", "list", "")
CONSTANTS = (0, -7, 2.5, "", "fjörd", "a\nb", True, False, None, [], [1, "x"], {}, {"a": [None]}, 10**15, -1e-3)
#: Keywords that are refused, each with a value that is right.
REFUSED = {
    "not": {"type": "null"}, "if": {"type": "string"}, "dependentRequired": {"a": ["b"]}, "dependentSchemas": {"a": {}},
    "patternProperties": {"^a": {"type": "string"}}, "propertyNames": {"maxLength": 3}, "contains": {"type": "integer"},
    "uniqueItems": True, "minProperties": 1, "maxProperties": 3, "unevaluatedProperties": False, "unevaluatedItems": False,
    "contentEncoding": "base64", "$dynamicRef": "#x", "zebra": 1,
}  # fmt: skip


class Schemas:
    """Random schemas; the same seed makes the same ones."""

    def __init__(self, seed):
        self.random = random.Random(seed)

    def string(self):
        r = self.random
        choice = r.randrange(4)
        if choice == 0:
            return {"type": "string", "format": r.choice(FORMATS)}
        if choice == 1:
            return {"type": "string", "pattern": r.choice(PATTERNS), "maxLength": 12}
        low = r.choice((0, 0, 1, 3))
        return {"type": "string", "minLength": low, "maxLength": low + r.randrange(9)}

    def number(self):
        r = self.random
        low = r.choice((-1000, -5, 0, 3, 17))
        high = low + r.choice((0, 1, 7, 100, 12345))
        if r.random() < 0.3:
            return {"type": "number", "minimum": low, r.choice(("maximum", "exclusiveMaximum")): high + 0.5}
        schema = {"type": "integer", "minimum": low, "maximum": high}
        if r.random() < 0.3:
            schema = {"type": "integer", "exclusiveMinimum": low - 1, "exclusiveMaximum": high + 1}
        if r.random() < 0.3 and high - low > 20:
            schema["multipleOf"] = r.choice((2, 3, 7))
        return schema

    def array(self, depth):
        r = self.random
        low = r.randrange(3)
        schema = {"type": "array", "items": self.any(depth - 1), "minItems": low, "maxItems": low + r.randrange(3)}
        if r.random() < 0.3:
            schema["prefixItems"] = [self.any(depth - 1) for _ in range(r.randrange(1, 3))]
            schema["maxItems"] = max(schema["maxItems"], len(schema["prefixItems"]))
            if r.random() < 0.5:
                schema["items"] = False
                schema["minItems"] = schema["maxItems"] = len(schema["prefixItems"])
        return schema

    def object(self, depth):
        r = self.random
        names = r.sample(NAMES, r.randrange(5))
        schema = {"type": "object", "properties": {name: self.any(depth - 1) for name in names}}
        schema["required"] = [name for name in names if r.random() < 0.6]
        if r.random() < 0.3:
            schema["additionalProperties"] = False
        if r.random() < 0.2:
            schema |= {"title": "a title", "description": "words", "examples": [1]}
        return schema

    def any(self, depth=3):
        r = self.random
        leaves = [self.string, self.number, lambda: {"type": "boolean"}, lambda: {"type": "null"},
                  lambda: {"const": r.choice(CONSTANTS)}, lambda: {"enum": r.sample(CONSTANTS, r.randrange(1, 5))},
                  lambda: {"type": ["null", "integer"], "minimum": -3, "maximum": 40},
                  lambda: {"type": ["boolean", "string"], "maxLength": 5}]  # fmt: skip
        if depth <= 0:
            return r.choice(leaves)()
        whole = [lambda: self.array(depth), lambda: self.object(depth), lambda: self.object(depth), lambda: self.combined(depth),
                 lambda: {"$ref": r.choice(("#/$defs/leaf", "#/$defs/pair", "#/definitions/old", "#/$defs/tree"))}]  # fmt: skip
        return r.choice(leaves if r.random() < 0.35 else whole)()

    def combined(self, depth):
        r = self.random
        choice = r.randrange(3)
        if choice == 0:
            return {"anyOf": [self.any(depth - 1) for _ in range(r.randrange(1, 4))]}
        if choice == 1:  # of kinds that exclude each other, since one of several that fit is not told from any
            return {"oneOf": [{"type": "boolean"}, self.string(), {"type": "array", "items": self.number(), "maxItems": 2}]}
        part = {"type": "object", "properties": {"left": self.any(depth - 1)}, "required": ["left"]}
        return {"allOf": [part, {"properties": {"right": self.any(depth - 1)}, "required": ["right"]}], "type": "object"}

    def whole(self):
        schema = self.object(3) if self.random.random() < 0.7 else self.any(3)
        return {
            "$schema": "https://json-schema.org/draft/2020-12/schema", **schema,
            "$defs": {
                "leaf": self.any(0), "pair": {"type": "array", "prefixItems": [self.any(0), self.any(0)], "minItems": 2, "items": False},
                "tree": {"type": "object", "properties": {"v": self.number(), "next": {"$ref": "#/$defs/tree"}}, "required": ["v"]},
            },
            "definitions": {"old": self.any(0)},
        }  # fmt: skip


def has_instance(schema):
    """Whether the other library finds a document of the schema."""
    found = []

    @hypothesis.settings(max_examples=1, database=None, deadline=None, suppress_health_check=list(hypothesis.HealthCheck))
    @hypothesis.given(from_schema(schema))
    def draw(value):
        found.append(value)

    try:
        draw()
    except Exception:  # an unsatisfiable strategy, whatever it is called in this version
        return False
    return bool(found)


def body(schema, **more):
    return {
        "messages": [{"role": "user", "content": "Describe it."}], "max_tokens": 3000, "chat_template_kwargs": {"enable_thinking": False},
        "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}, **more,
    }  # fmt: skip


def answers(client, number, schema):
    """What is wrong with the answers to one schema."""
    validator = jsonschema.Draft202012Validator(schema, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER)
    wrong = []
    for temperature, seed in ((0, 0), (1, number), (1.5, number + 1)):
        request = body(schema, temperature=temperature, seed=seed)
        status, _, content = client.request("POST", "/v1/chat/completions", request, timeout=300)
        if status != 200:
            return [f"{number}: {status} {content[:300]!r} for {json.dumps(schema)}"]
        choice = json.loads(content)["choices"][0]
        text = choice["message"]["content"]
        if choice["finish_reason"] != "stop":
            wrong.append(f"{number}: ended by {choice['finish_reason']} at temperature {temperature}: {text[:200]!r}")
            continue
        try:
            validator.validate(json.loads(text))
        except (ValueError, jsonschema.ValidationError) as error:
            wrong.append(f"{number}: {str(error).splitlines()[0]}: {text[:300]!r} for {json.dumps(schema)}")
    if number % 10 == 0:
        message, _, _, _ = assembled(client.events("/v1/chat/completions", {**body(schema), "temperature": 1.5, "seed": number + 1}))
        if message["content"] != text:
            wrong.append(f"{number}: streamed {message['content'][:200]!r} instead of {text[:200]!r}")
    return wrong


def refusals(client):
    """Every keyword that is not supported is 400 with its path, wherever it stands."""
    wrong = []
    for keyword, value in REFUSED.items():
        inner = {"type": "object", "properties": {"a": {"type": "string", "maxLength": 3}}, keyword: value}
        for path, schema in (
            (keyword, inner), (f"properties.deep.items.{keyword}", {"type": "object", "properties": {"deep": {"type": "array", "items": inner}}}),
            (f"$defs.d.{keyword}", {"$ref": "#/$defs/d", "$defs": {"d": inner}}), (f"anyOf[1].{keyword}", {"anyOf": [{"type": "null"}, inner]}),
        ):  # fmt: skip
            status, _, content = client.request("POST", "/v1/chat/completions", body(schema))
            if status != 400 or path not in json.loads(content)["error"]["message"]:
                wrong.append(f"{keyword} at {path}: {status} {content[:300]!r}")
    return wrong


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 7
    warnings.simplefilter("ignore")
    schemas, drawn, source = [], 0, Schemas(seed)
    while len(schemas) < count:
        schema = source.whole()
        drawn += 1
        if has_instance(copy.deepcopy(schema)):  # which puts schemas into another form in place
            schemas.append(schema)
    with server("--max-queue", "999") as client, concurrent.futures.ThreadPoolExecutor(8) as pool:
        wrong = [line for lines in pool.map(lambda job: answers(client, *job), enumerate(schemas)) for line in lines]
        wrong += refusals(client)
    print("\n".join(wrong[:40]))
    print(f"{'FAILED' if wrong else 'ok':8}{3 * count} documents of {count} schemas ({drawn} drawn), {4 * len(REFUSED)} refusals: {len(wrong)} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
