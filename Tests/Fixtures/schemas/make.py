#!/usr/bin/env python3
"""Writes schemas.json: 200 schemas, each with documents that fit it and documents that do not, as the package jsonschema says.

    pip install jsonschema rfc3339-validator
    python3 make.py > schemas.json

The schemas use the keywords that constrained sampling keeps; members of the documents stand in the order of the schema, because that is
how a constraint wants them.
"""

import datetime
import json
import random
import uuid

import jsonschema

rng = random.Random(11)
chance = lambda p: rng.random() < p
WORDS = ["oak", "elm", "yew", "séance", "東京", "a b", "", "x\ty", '"quoted"', "back\\slash", "🌲", "line\nfeed", "null", "0"]
PATTERNS = {
    r"^[a-z]{2,5}$": lambda: "".join(rng.choices("abcxyz", k=rng.randint(2, 5))),
    r"^\d{3}-\d{4}$": lambda: f"{rng.randint(0, 999):03}-{rng.randint(0, 9999):04}",
    r"^(red|green|blue)( light)?$": lambda: rng.choice(["red", "green", "blue"]) + rng.choice(["", " light"]),
    r"b+": lambda: "a" * rng.randint(0, 2) + "b" * rng.randint(1, 3) + rng.choice(["", "é", "c"]),
    r"^[^<>\"]*$": lambda: rng.choice(["plain", "", "ü", "a&b"]),
    r"^\w+\s\w+$": lambda: "two words",
    r"x$": lambda: rng.choice(["x", "aax", "😀x"]),
    r"^[A-Z][a-z]*(, [A-Z][a-z]*){0,2}$": lambda: ", ".join(rng.choice(["Oak", "Elm", "Y"]) for _ in range(rng.randint(1, 3))),
}


def moment():
    return datetime.datetime(1970, 1, 1) + datetime.timedelta(seconds=rng.randint(0, 2**31))


FORMATS = {
    "date": lambda: moment().date().isoformat(),
    "time": lambda: moment().time().isoformat() + rng.choice(["Z", "+02:00"]),
    "date-time": lambda: moment().isoformat() + rng.choice(["Z", ".25Z", "-08:30"]),
    "uuid": lambda: str(uuid.UUID(int=rng.getrandbits(128), version=4)),
    "ipv4": lambda: ".".join(str(rng.randint(0, 255)) for _ in range(4)),
    "email": lambda: rng.choice(["a.b@example.com", "x+y@sub.example.org"]),
}


# A generator gives a schema and a function that makes documents for it.


def integers():
    kind, low = rng.randrange(4), rng.randint(-50, 50)
    if kind == 0:
        return {"type": "integer"}, lambda: rng.randint(-(10**9), 10**9)
    if kind == 1:
        high = low + rng.choice([0, 1, 7, 99, 1000])
        return {"type": "integer", "minimum": low, "maximum": high}, lambda: rng.randint(low, high)
    if kind == 2:
        return {"type": "integer", "exclusiveMinimum": low}, lambda: low + rng.randint(1, 10**6)
    step = rng.choice([2, 3, 5, 7, 10, 25])
    return {"type": "integer", "multipleOf": step, "minimum": low}, lambda: step * (-(-low // step) + rng.randint(0, 1000))


def numbers():
    low = round(rng.uniform(-20, 20), rng.randint(0, 3))
    if chance(0.4):
        return {"type": "number"}, lambda: rng.choice([rng.randint(-99, 99), round(rng.uniform(-9, 9), 4), 1e-7, 2.5e20])
    high = round(low + rng.choice([0.5, 1, 30.25]), 4)
    return {"type": "number", "minimum": low, "exclusiveMaximum": high}, lambda: round(low + (high - low) * rng.random() * 0.99, 6)


def strings():
    kind = rng.randrange(4)
    if kind == 0:
        return {"type": "string"}, lambda: rng.choice(WORDS)
    if kind == 1:
        least = rng.randint(0, 4)
        most = least + rng.randint(0, 5)
        return {"type": "string", "minLength": least, "maxLength": most}, lambda: "".join(
            rng.choices("abé東🌲\"\\\n", k=rng.randint(least, most)))
    if kind == 2:
        pattern = rng.choice(list(PATTERNS))
        return {"type": "string", "pattern": pattern}, PATTERNS[pattern]
    name = rng.choice(list(FORMATS))
    return {"type": "string", "format": name}, FORMATS[name]


def words():
    kind = rng.randrange(3)
    if kind == 0:
        return rng.choice([({"type": "null"}, lambda: None), ({"type": "boolean"}, lambda: chance(0.5))])
    values = rng.sample([1, 2.5, "oak", "", None, True, [1, "a"], {"b": [2, {}], "c": "é"}, -3, "東京"], rng.randint(1, 4))
    if kind == 1:
        return {"const": values[0]}, lambda: values[0]
    return {"enum": values}, lambda: rng.choice(values)


def scalars():
    return rng.choice([integers, numbers, strings, words])()


def arrays(depth):
    least = rng.randint(0, 2)
    most = least + rng.randint(0, 3)
    if chance(0.3):
        items = [anything(depth - 1) for _ in range(rng.randint(1, 3))]
        schema = {"type": "array", "prefixItems": [s for s, _ in items], "items": False}
        if chance(0.5):
            schema["minItems"] = len(items)
        return schema, lambda: [make() for _, make in items]
    item, make = anything(depth - 1)
    schema = {"type": "array", "items": item}
    if least:
        schema["minItems"] = least
    if chance(0.5):
        schema["maxItems"] = most
    return schema, lambda: [make() for _ in range(rng.randint(least, most))]


NAMES = ["id", "name", "größe", "a b", "x", "tags", "value", "kind", "0"]


def objects(depth, names=None):
    names = names or rng.sample(NAMES, rng.randint(1, 5))
    members = {name: anything(depth - 1) for name in names}
    required = [name for name in names if chance(0.6)]
    schema = {"type": "object", "properties": {name: s for name, (s, _) in members.items()}}
    if required:
        schema["required"] = required
    extra = None
    if chance(0.4):
        schema["additionalProperties"] = False
    elif chance(0.2):
        schema["additionalProperties"], extra = scalars()

    def make():
        result = {name: m() for name, (_, m) in members.items() if name in required or chance(0.5)}
        if extra and chance(0.5):
            result["further"] = extra()
        return result

    return schema, make


def joined(depth):
    kind = rng.randrange(5)
    if kind == 0:
        options = [anything(depth - 1) for _ in range(rng.randint(2, 3))]
        return {"anyOf": [s for s, _ in options]}, lambda: rng.choice(options)[1]()
    if kind == 1:
        options = [objects(depth - 1, rng.sample(NAMES, 2)) for _ in range(2)]
        for i, (schema, _) in enumerate(options):
            schema["properties"] = {"tag": {"const": f"t{i}"}, **schema["properties"]}
            schema["required"] = ["tag", *schema.get("required", [])]
        def make():
            i = rng.randrange(2)
            return {"tag": f"t{i}", **options[i][1]()}
        return {"oneOf": [s for s, _ in options]}, make
    if kind == 2:
        parts = [objects(depth - 1, names) for names in (["id", "name"], ["x", "value"])]
        for schema, _ in parts:
            schema.pop("additionalProperties", None)
        return {"allOf": [s for s, _ in parts]}, lambda: {
            name: value for _, make in parts for name, value in make().items() if name != "further"}
    if kind == 3:
        return {"type": ["string", "null"], "maxLength": 3}, lambda: rng.choice([None, "abc", "é", ""])
    return {"type": "object", "additionalProperties": {"type": "integer"}}, lambda: {
        name: rng.randint(0, 99) for name in rng.sample(["k", "l\n", "m€"], rng.randint(0, 3))}


def recursive():
    value, make = scalars()
    schema = {
        "$defs": {"node": {
            "type": "object",
            "properties": {"value": value, "children": {"type": "array", "items": {"$ref": "#/$defs/node"}}},
            "required": ["value"], "additionalProperties": False}},
        "$ref": "#/$defs/node"}

    def node(depth=3):
        result = {"value": make()}
        if depth and chance(0.7):
            result["children"] = [node(depth - 1) for _ in range(rng.randint(0, 2))]
        return result

    return schema, node


def anything(depth):
    if depth <= 0:
        return scalars()
    return rng.choice([scalars, lambda: arrays(depth), lambda: objects(depth), lambda: objects(depth), lambda: joined(depth)])()


def changed(value):
    """A copy with one thing changed somewhere."""
    if isinstance(value, dict) and value and chance(0.8):
        name = rng.choice(list(value))
        copy = dict(value)
        kind = rng.randrange(4)
        if kind == 0:
            del copy[name]
        elif kind == 1:
            copy["never declared"] = 1
        else:
            copy[name] = changed(value[name])
        return copy
    if isinstance(value, list) and value and chance(0.8):
        i = rng.randrange(len(value))
        return rng.choice([lambda: value[:i] + value[i + 1:], lambda: value + [value[i]] * 5, lambda: value[:i] + [changed(value[i])] + value[i + 1:]])()
    if isinstance(value, (int, float)) and not isinstance(value, bool) and chance(0.6):
        return rng.choice([value + 1, value - 1, value + 10_000, value - 10_000, value + 0.5])
    if isinstance(value, str) and chance(0.6):
        return rng.choice([value + "!", value * 9 + "~", value[1:], value.upper() + "<"])
    return rng.choice([None, True, 7, -0.25, "wrong", [], {}, [[]]])


def text(value):
    style = rng.choice([{}, {"separators": (",", ":")}, {"indent": 2}])
    return json.dumps(value, ensure_ascii=False, **style)


cases = []
makers = [lambda: objects(3), lambda: objects(2), lambda: arrays(3), lambda: joined(3), scalars, recursive]
while len(cases) < 200:
    schema, make = makers[len(cases) % len(makers)]()
    check = jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker())
    fits = lambda value: not any(check.iter_errors(value))
    valid = [make() for _ in range(4)]
    if not all(map(fits, valid)):  # rounding has led out of a range
        continue
    invalid = [v for v in (changed(make()) for _ in range(8)) if not fits(v)][:3]
    if len(json.dumps([schema, valid, invalid])) > 2500:
        continue
    cases.append({"schema": schema, "valid": sorted({text(v) for v in valid}), "invalid": sorted({text(v) for v in invalid})})

print('{"cases": [\n' + ",\n".join(json.dumps(case, ensure_ascii=False) for case in cases) + "\n]}")
