"""How each engine is asked: functions that run one process and give {test: [tokens per second, one a repeat]}.

A test is "pp512" (a prompt of 512 tokens), "tg64" (64 tokens one by one), "tg32@4096" (32 behind 4096 others); of a server "8 streams" (tokens per second
of all) and "turn 5" (seconds to the first token).
"""
from timing import output, output_json


def split(test):
    """Prompt tokens, generated tokens, depth."""
    kind, _, depth = test.partition("@")
    count = int(kind[2:])
    return (count, 0, int(depth or 0)) if kind.startswith("pp") else (0, count, int(depth or 0))


def ours(installation, model, tests, threads, repeats=3, kv=None, resident=True):
    """`duality bench`, a process for all tests of one depth. Gives also "load seconds", "peak bytes" and "weight bytes"."""

    def contender():
        values = {}
        for depth in sorted({split(test)[2] for test in tests}):
            prompts = [split(test)[0] for test in tests if split(test)[2] == depth and split(test)[0]]
            generated = [split(test)[1] for test in tests if split(test)[2] == depth and split(test)[1]]
            report = output_json(
                installation.duality, "bench", "--json", "--model", model, "--threads", threads, "-r", repeats,
                "-p", ",".join(map(str, prompts or [0])), "-n", ",".join(map(str, generated or [0])), "-d", depth,
                *(["--kv", kv] if kv else []), *(["--resident"] if resident else []))
            for row in report["tests"]:
                name = row["test"].split(" ")[0] + (f"@{depth}" if depth else "")
                values[name] = row["repeats"]
            values["load seconds"] = [report["load_seconds"]]
            values["peak bytes"] = [report["peak_memory_bytes"]]
            values["weight bytes"] = [report["weight_bytes"]]
            values["weight bytes per token"] = [report["weight_bytes_per_token"]]
        return values

    return contender


def roofline(installation, threads):
    """The limits of the machine, by the embedded model's bench, which is over at once."""
    report = output_json(
        installation.duality, "bench", "--json", "--roofline", "--threads", threads, "-p", "8", "-n", "0", "-r", "1")
    return report["limits"]


def llama(installation, engine, model, tests, threads, repeats=3, cache="f16", repack=False):
    """llama.cpp or ik_llama.cpp."""
    program = installation.program(engine)
    return lambda: output_json(program, model, threads, repeats, cache, int(repack), *tests)


def serving(installation, kind, program, model, threads, precision="bf16", tests=("1", "8"), repeats=3):
    """A server, asked over HTTP: `serve_worker.py`."""
    worker = installation.scripts / "serve_worker.py"
    return lambda: output_json(installation.python, worker, kind, program, model, threads, repeats, precision, *tests)


def openvino(installation, model, setting, tests, threads, repeats=3):
    installation.packages("openvino")

    def contender():
        keys = [f"{setting}:{test}" for test in tests]
        values = output_json(
            installation.python, installation.scripts / "openvino_worker.py", "time", model, threads, repeats, *keys)
        return {test: values[key] for test, key in zip(tests, keys)}

    return contender


def our_scan(installation, length, shared, threads, repeats=9):
    """Seconds of one layer of H = 32, P = N = 128."""
    return lambda: {"scan": list(map(float, output(
        installation.products / "kernels", "--threads", threads, "--scan", length, "--shared", shared,
        "--repeats", repeats).split()))}


def ggml_scan(installation, length, groups, threads, repeats=9):
    driver = installation.program("llama.cpp", "ggml_scan")
    return lambda: {"scan": output_json(driver, 32, 128, 128, groups, length, threads, repeats)}


def torch_scan(installation, length, shared, threads, repeats=5):
    installation.packages("torch")
    return lambda: {"scan": output_json(
        installation.python, installation.scripts / "torch_scan.py", threads, length, 32, shared, repeats)}
