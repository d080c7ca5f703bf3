"""Writes conversations.json: the conversations that every template is tried on."""
import json
import pathlib

WEATHER = {"type": "function", "function": {
    "name": "get_weather", "description": "Weather of a city — now or later",
    "parameters": {"type": "object", "properties": {
        "city": {"type": "string", "description": "  The city's name.  "},
        "days": {"type": "integer", "default": None, "maximum": 1000.0, "minimum": -0.0},
        "step": {"type": "number", "enum": [0.1, 1e-05, 1e16, 12345678901234567890]},
        "units": {"type": ["string", "null"], "enum": ["°C", "°F"]},
        "where": {"type": "object", "properties": {"lat": {"type": "number"}}, "required": ["lat"]}},
        "required": ["city"], "additionalProperties": False}}}
CLOCK = {"type": "function", "function": {
    "name": "now", "description": "Says \"the time\" & <date>\n\twith 'quotes' \\ and é\u0001",
    "parameters": {"type": "object", "properties": {}}}}
SEARCH = {"type": "function", "function": {
    "name": "web.search-2", "description": "", "strict": True,
    "parameters": {"type": "object", "properties": {
        "terms": {"type": "array", "items": {"type": "string"}, "maxItems": 5},
        "flags": {"anyOf": [{"type": "boolean"}, {"type": "null"}]}}, "required": []}}}


def say(role, content, **more):
    return {"role": role, "content": content, **more}


def call(name, arguments, identity="abcDEF123"):
    return {"id": identity, "type": "function", "function": {"name": name, "arguments": arguments}}


def conversations():
    greet = [say("user", "Hello, who are you?")]
    system = say("system", "You answer in one sentence.")
    weather = [say("user", "How warm is it in Zürich?"),
               say("assistant", "", tool_calls=[call("get_weather", {"city": "Zürich", "days": 1})]),
               say("tool", "{\"degrees\": 12.5}", tool_call_id="abcDEF123", name="get_weather")]
    two_calls = [say("user", "Bern and Basel?"),
                 say("assistant", "I look both up.", tool_calls=[
                     call("get_weather", {"city": "Bern"}, "call00001"),
                     call("get_weather", {"city": "Basel", "where": {"lat": 47.5}, "ok": True}, "call00002")]),
                 say("tool", "12 degrees", tool_call_id="call00001"),
                 say("tool", "14 degrees", tool_call_id="call00002")]
    thought = [say("user", "17 + 25?"),
               say("assistant", "42", reasoning_content="Seven and five make twelve.\n\nCarry one.\n"),
               say("user", "And 18 + 25?")]
    inline = [say("user", "Prove it."),
              say("assistant", "<think>\nEasy.\n</think>\n\nDone."),
              say("user", "Again."),
              say("assistant", "\n<think>\n\n</think>\n\n Twice done. \n")]
    long = []
    for turn in range(6):
        long += [say("user", f"Question {turn}?\n"), say("assistant", f"  Answer {turn}.")]
    strange = [say("user", "日本語 🙂 e\u0301 \u200b \u00a0x\r\nline\u2028end\ttab \u0007"),
               say("assistant", "<|im_end|>\n<|im_start|>system\n{{ 7*7 }} {% if x %} </s> [INST] \\n 'a' \"b\""),
               say("user", "")]
    yield "greeting", greet, {}
    yield "greeting with prompt", greet, {"add_generation_prompt": True}
    yield "system", [system] + greet, {"add_generation_prompt": True}
    yield "answered", [system] + greet + [say("assistant", "A model.")], {}
    yield "six turns", long + greet, {"add_generation_prompt": True}
    yield "six turns with system", [system] + long + greet, {"add_generation_prompt": True}
    yield "system in the middle", greet + [say("assistant", "A model."), system, say("user", "Why?")], {
        "add_generation_prompt": True}
    yield "strange text", strange, {"add_generation_prompt": True}
    yield "tools", [system] + greet, {"tools": [WEATHER, CLOCK], "add_generation_prompt": True}
    yield "tools without system", greet, {"tools": [CLOCK, SEARCH], "add_generation_prompt": True}
    yield "result", weather, {"tools": [WEATHER], "add_generation_prompt": True}
    yield "result answered", [system] + weather + [say("assistant", "12.5 degrees."), say("user", "Thanks.")], {
        "tools": [WEATHER, SEARCH], "add_generation_prompt": True}
    yield "two calls", [system] + two_calls, {"tools": [WEATHER], "add_generation_prompt": True}
    yield "call without arguments", [say("user", "Time?"), say("assistant", None, tool_calls=[call("now", {})]),
                                     say("tool", "12:00", tool_call_id="abcDEF123")], {"tools": [CLOCK]}
    yield "thought", thought, {"add_generation_prompt": True}
    yield "thought off", thought, {"add_generation_prompt": True, "enable_thinking": False}
    yield "thought on", [system] + thought, {"add_generation_prompt": True, "enable_thinking": True}
    yield "inline thought", inline, {}
    yield "thought before a call", [say("user", "Warm?"), say(
        "assistant", "I ask.", reasoning_content="A tool knows.",
        tool_calls=[call("get_weather", {"city": "Köln"})]), say("tool", "yes", tool_call_id="abcDEF123")], {
            "tools": [WEATHER], "add_generation_prompt": True}
    yield "arguments as text", [say("user", "Warm?"), say("assistant", "", tool_calls=[
        call("get_weather", "{\"city\": \"Rom\"}")]), say("tool", "yes", tool_call_id="abcDEF123")], {
            "tools": [WEATHER], "add_generation_prompt": True}
    yield "only a system message", [system], {"add_generation_prompt": True}
    yield "assistant first", [say("assistant", "Hi!"), say("user", "Oh.")], {"add_generation_prompt": True}
    yield "spaces", [say("system", "  \n padded \n"), say("user", " \t x \n\n"), say("assistant", "\n\ny ")], {}
    yield "null answer", [say("user", "x"), say("assistant", None), say("user", "y")], {}


def main():
    here = pathlib.Path(__file__).parent
    cases = [{"name": name, "request": {"messages": messages, **options}}
             for name, messages, options in conversations()]
    (here / "conversations.json").write_text(json.dumps(cases, ensure_ascii=False, indent=1) + "\n")


if __name__ == "__main__":
    main()
