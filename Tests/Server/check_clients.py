"""Clients from PyPI, unmodified: each is a check of its own, and one that is not installed is left out.

    python check_clients.py [NAME …]
"""

import asyncio
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import warnings

import scripted_model
from client import SUM, server

warnings.filterwarnings("ignore")
os.environ.setdefault("OPENAI_API_KEY", "none")
os.environ.setdefault("OPENAI_AGENTS_DISABLE_TRACING", "1")
os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
HERE = pathlib.Path(__file__).resolve().parent
SUM_TEXT = "17 + 25 = 42."
QUESTION = SUM[0]["content"]
LOOK_UP = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object", "properties": {"word": {"type": "string"}, "limit": {"type": "integer"}}, "required": ["word"]}}}


def openai_sync(tiny, scripted):
    import openai

    client = openai.OpenAI(base_url=tiny.url + "/v1", api_key="none", max_retries=0)
    model = client.models.list().data[0].id
    assert client.models.retrieve(model).id == model
    assert client.chat.completions.create(model=model, messages=SUM, temperature=0).choices[0].message.content == SUM_TEXT
    raw = client.chat.completions.with_raw_response.create(model=model, messages=SUM, max_tokens=1)
    assert raw.headers["x-request-id"]
    text = client.completions.create(model=model, prompt=["Once upon a time", "The"], max_tokens=4, n=2, logprobs=2, echo=True)
    assert [c.index for c in text.choices] == [0, 1, 2, 3] and text.choices[0].logprobs.token_logprobs[0] is None
    scores = client.chat.completions.create(model=model, messages=SUM, logprobs=True, top_logprobs=3, temperature=0).choices[0].logprobs.content
    assert len(scores) == 12 and len(scores[0].top_logprobs) == 3
    try:
        client.chat.completions.create(model=model, messages=SUM, temperature=-1)
        raise AssertionError("no BadRequestError")
    except openai.BadRequestError as error:
        assert error.param == "temperature" and error.code == "invalid_value"
    try:
        client.chat.completions.create(model="nobody", messages=SUM)
        raise AssertionError("no NotFoundError")
    except openai.NotFoundError as error:
        assert error.code == "model_not_found"


def openai_stream(tiny, scripted):
    import openai

    client = openai.OpenAI(base_url=tiny.url + "/v1", api_key="none", max_retries=0)
    with client.chat.completions.stream(model="m", messages=SUM, temperature=0, extra_body={"model": None}) as stream:
        list(stream)
        assert stream.get_final_completion().choices[0].message.content == SUM_TEXT
    client = openai.OpenAI(base_url=scripted.url + "/v1", api_key="none", max_retries=0)
    model = client.models.list().data[0].id
    with client.chat.completions.stream(model=model, messages=[{"role": "user", "content": "/both"}], temperature=0, tools=[LOOK_UP, {"type": "function", "function": {"name": "count"}}]) as stream:
        list(stream)
        message = stream.get_final_completion().choices[0].message
    assert [c.function.name for c in message.tool_calls] == ["look_up", "count"] and message.content == "First this:", message


def openai_async(tiny, scripted):
    import openai

    async def run():
        client = openai.AsyncOpenAI(base_url=tiny.url + "/v1", api_key="none", max_retries=0)
        model = (await client.models.list()).data[0].id
        answers = await asyncio.gather(*[client.chat.completions.create(model=model, messages=SUM, temperature=0) for _ in range(8)])
        assert {a.choices[0].message.content for a in answers} == {SUM_TEXT}
        text = ""
        async for chunk in await client.chat.completions.create(model=model, messages=SUM, temperature=0, stream=True):
            text += chunk.choices[0].delta.content or ""
        assert text == SUM_TEXT

    asyncio.run(run())


def openai_parse(tiny, scripted):
    import openai
    import pydantic

    class Pick(pydantic.BaseModel):
        n: int = pydantic.Field(ge=0, le=99)
        ok: bool

    client = openai.OpenAI(base_url=tiny.url + "/v1", api_key="none", max_retries=0)
    answer = client.chat.completions.parse(model=client.models.list().data[0].id, messages=[{"role": "user", "content": "Pick."}], response_format=Pick, temperature=0)
    assert isinstance(answer.choices[0].message.parsed, Pick)


def litellm(tiny, scripted):
    import litellm as lite

    lite.telemetry = False
    body = dict(model="openai/" + tiny.name, api_base=tiny.url + "/v1", api_key="none", temperature=0, messages=SUM)
    assert lite.completion(**body).choices[0].message.content == SUM_TEXT
    assert "".join(c.choices[0].delta.content or "" for c in lite.completion(**body, stream=True)) == SUM_TEXT
    try:
        lite.completion(**{**body, "max_tokens": 10**6}, num_retries=0)
        raise AssertionError("no ContextWindowExceededError")
    except lite.exceptions.ContextWindowExceededError:
        pass
    body = {**body, "model": "openai/" + scripted.name, "api_base": scripted.url + "/v1", "messages": [{"role": "user", "content": "/lookup"}]}
    call = lite.completion(**body, tools=[LOOK_UP]).choices[0].message.tool_calls[0]
    assert json.loads(call.function.arguments) == {"word": "séance", "limit": 3}
    thought = lite.completion(**{**body, "messages": [{"role": "user", "content": "/think"}]}).choices[0].message
    assert thought.reasoning_content == "Oak, then elm." and thought.content == "Two trees."


def langchain(tiny, scripted):
    from langchain_core.tools import tool
    from langchain_openai import ChatOpenAI

    model = ChatOpenAI(base_url=tiny.url + "/v1", api_key="none", model=tiny.name, temperature=0, max_retries=0)
    assert model.invoke(QUESTION).content == SUM_TEXT
    assert "".join(piece.content for piece in model.stream(QUESTION)) == SUM_TEXT

    @tool
    def look_up(word: str, limit: int = 1) -> str:
        """Finds a word."""
        return "a tree"

    model = ChatOpenAI(base_url=scripted.url + "/v1", api_key="none", model=scripted.name, temperature=0, max_retries=0).bind_tools([look_up])
    first = model.invoke("/lookup")
    assert first.tool_calls[0]["args"] == {"word": "séance", "limit": 3}, first
    from langchain_core.messages import HumanMessage, ToolMessage

    last = model.invoke([HumanMessage("/lookup"), first, ToolMessage("a tree", tool_call_id=first.tool_calls[0]["id"])])
    assert last.content == "There are two of them."


def pydantic_ai(tiny, scripted):
    from pydantic_ai import Agent
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    def model(at):
        return OpenAIChatModel(at.name, provider=OpenAIProvider(base_url=at.url + "/v1", api_key="none"))

    assert Agent(model(tiny), model_settings={"temperature": 0}).run_sync(QUESTION).output == SUM_TEXT
    agent = Agent(model(scripted), model_settings={"temperature": 0})
    seen = []

    @agent.tool_plain
    def look_up(word: str, limit: int = 1) -> str:
        """Finds a word."""
        seen.append((word, limit))
        return "a tree"

    assert agent.run_sync("/lookup").output == "There are two of them." and seen == [("séance", 3)]


def instructor(tiny, scripted):
    import instructor as library
    import openai
    import pydantic

    class Trees(pydantic.BaseModel):
        title: str
        count: int

    client = library.from_openai(openai.OpenAI(base_url=scripted.url + "/v1", api_key="none"), mode=library.Mode.JSON_SCHEMA)
    answer = client.chat.completions.create(model=scripted.name, messages=[{"role": "user", "content": "/object"}], response_model=Trees, temperature=0, max_retries=0)
    assert (answer.title, answer.count) == ("Trees", 2), answer


def openai_agents(tiny, scripted):
    import agents
    import openai

    agents.set_tracing_disabled(True)
    client = openai.AsyncOpenAI(base_url=scripted.url + "/v1", api_key="none")
    seen = []

    @agents.function_tool
    def look_up(word: str, limit: int) -> str:
        """Finds a word."""
        seen.append((word, limit))
        return "a tree"

    model = agents.OpenAIChatCompletionsModel(model=scripted.name, openai_client=client)
    agent = agents.Agent(name="a", instructions="Answer.", model=model, tools=[look_up], model_settings=agents.ModelSettings(temperature=0))
    assert agents.Runner.run_sync(agent, "/lookup").final_output == "There are two of them." and seen == [("séance", 3)]

    async def stream():
        result = agents.Runner.run_streamed(agent, "/lookup")
        async for _ in result.stream_events():
            pass
        return result.final_output

    assert asyncio.run(stream()) == "There are two of them."


def llama_index(tiny, scripted):
    from llama_index.core.llms import ChatMessage
    from llama_index.llms.openai_like import OpenAILike

    model = OpenAILike(model=tiny.name, api_base=tiny.url + "/v1", api_key="none", is_chat_model=True, temperature=0, max_retries=0)
    assert model.chat([ChatMessage(role="user", content=QUESTION)]).message.content == SUM_TEXT
    assert [c.message.content for c in model.stream_chat([ChatMessage(role="user", content=QUESTION)])][-1] == SUM_TEXT
    text = OpenAILike(model=tiny.name, api_base=tiny.url + "/v1", api_key="none", is_chat_model=False, temperature=0, max_tokens=4, max_retries=0)
    assert text.complete("Once upon a time").text


TASK = """task: trees
dataset_path: json
dataset_kwargs: {data_files: {test: FOLDER/trees.jsonl}}
test_split: test
output_type: KIND
doc_to_text: "{{question}}"
METRIC
"""


def lm_eval(tiny, model, kind, metric, folder):
    rows = [{"question": "Once upon a time there was a little", "choices": [" fox", " xqzt"], "label": 0, "answer": "x"}] * 4
    (folder / "trees.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    (folder / "trees.yaml").write_text(TASK.replace("FOLDER", str(folder)).replace("KIND", kind).replace("METRIC", metric))
    path = "completions" if model == "local-completions" else "chat/completions"
    arguments = f"model={tiny.name},base_url={tiny.url}/v1/{path},num_concurrent=2,max_retries=1,tokenized_requests=False,tokenizer_backend=None"
    if model == "local-completions":
        arguments = f"model={tiny.name},base_url={tiny.url}/v1/{path},num_concurrent=2,max_retries=1,tokenizer_backend=remote,tokenized_requests=True,max_length=2048"
    command = [sys.executable, "-m", "lm_eval", "run", "--model", model, "--model_args", arguments, "--tasks", "trees", "--include_path", str(folder), "--output_path", str(folder / "out"), "--batch_size", "2"]
    if model == "local-chat-completions":
        command += ["--apply_chat_template"]
    run = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HOME": str(folder)})
    assert run.returncode == 0, run.stderr[-1500:]
    results = json.loads(next((folder / "out").rglob("results*.json")).read_text())
    return results["results"]["trees"]


def lm_eval_completions(tiny, scripted):
    import lm_eval as _

    with tempfile.TemporaryDirectory() as folder:
        metric = 'doc_to_choice: "{{choices}}"\ndoc_to_target: "{{label}}"\nmetric_list: [{metric: acc}]'
        found = lm_eval(tiny, "local-completions", "multiple_choice", metric, pathlib.Path(folder))
    assert found["acc,none"] == 1, found


def lm_eval_chat(tiny, scripted):
    import lm_eval as _

    with tempfile.TemporaryDirectory() as folder:
        metric = 'doc_to_target: "{{answer}}"\ngeneration_kwargs: {until: ["\\n"], max_gen_toks: 8}\nmetric_list: [{metric: exact_match}]'
        found = lm_eval(tiny, "local-chat-completions", "generate_until", metric, pathlib.Path(folder))
    assert "exact_match,none" in found, found


CHECKS = (openai_sync, openai_stream, openai_async, openai_parse, litellm, langchain, pydantic_ai, instructor, openai_agents, llama_index, lm_eval_completions, lm_eval_chat)


def main():
    wanted = sys.argv[1:]
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        scripted_model.build(folder)
        with server() as tiny, server(folder, "--template", "qwen3", "--served-model-name", "scripted") as scripted:
            for check in CHECKS:
                if wanted and check.__name__ not in wanted:
                    continue
                name = check.__name__.replace("_", " ")
                try:
                    check(tiny, scripted)
                    print(f"ok      {name}", flush=True)
                except ImportError as error:
                    print(f"left out {name}: {error}", flush=True)
                except Exception as error:
                    failed += 1
                    print(f"FAILED  {name}: {type(error).__name__}: {str(error)[:1500]}", flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(1 if main() else 0)
