"""The card's efficiency table: six 8B shapes in int8.

Two layers of each shape are measured, one of attention and one of its kind, with random weights. A token of the whole model costs

    t36 = h + 18 (t2 - h),     h = 2 t2 - t4 of the dense shape behind nothing: embedding, head, and what does not grow with layers

and the first token 18 times what two layers take (the head computes one row). Shapes take turns.
"""
import os
import shutil
import sys

SHAPES = {
    "dense": "qwen3-8b", "Mamba-2": "hqwen3-8b", "Gated DeltaNet": "hqwen3-8b-gdn", "Gated KalmaNet": "hqwen3-8b-gka",
    "B'MOJO-F": "hqwen3-8b-bmf", "sliding window": "hqwen3-8b-swa",
}
PAIRS = 18


def bench(program, work, shape, layers, depths):
    """Seconds of a decoded token behind each depth, and to the first token there."""
    folder = work / f"{shape}-{layers}"
    if not (folder / "config.json").exists():
        program.run("synthesize", "--shape", shape, "--layers", layers, "--precision", "int8", "--out", folder)
    found = program.json(
        "bench", "--model", folder, "--resident", "--threads", program.threads, "--prompt", 0, "--generate", 16, "--repeats", 3,
        "--depth", ",".join(map(str, depths)))
    shutil.rmtree(folder)
    decode = {str(test["depth"]): 1 / test["tokens_per_second"] for test in found["tests"]}
    first = {str(read["tokens"]): read["seconds"] for read in found["first_token"]}
    return {"decode": decode, "first_token": first}


def predictions(program, limits):
    """Ratios to the dense model that counting predicts on this machine, and those that were published."""
    found = program.json(
        "family", "--bandwidth", limits["read_gbps"], "--tflops", limits["int8_tops"], "--memory", 24, "--weight-bytes", 1)
    return {
        member["name"]: {
            str(context["tokens"]): {name: context[name] for name in (
                "decode_ratio", "prefill_time_ratio", "published_decode_ratio", "published_first_token_ratio")}
            for context in member["contexts"]}
        for member in found["members"]}


def measure(program, arguments, earlier, save):
    lengths = [int(length) for length in arguments.lengths.split(",")]
    wanted = [name for name in SHAPES if not arguments.only or name in arguments.only.split(",")]
    limits = program.json(
        "bench", "--threads", program.threads, "--roofline", "--prompt", 16, "--generate", 0, "--repeats", 1)["limits"]
    found = {"lengths": lengths, "limits": limits, "predicted": predictions(program, limits), "rounds": earlier.get("rounds", {}),
             "load": []}
    found["dense4"] = bench(program, arguments.work, "qwen3-8b", 4, [0])["decode"]["0"]
    for turn in range(arguments.rounds):
        for name in wanted:
            print(f"{name}, turn {turn + 1} of {arguments.rounds}", file=sys.stderr, flush=True)
            found["load"].append(os.getloadavg()[0])
            rounds = found["rounds"].setdefault(name, [])
            rounds.append(bench(program, arguments.work, SHAPES[name], 2, [0] + lengths))
            save(found)


def medians(rounds, kind, length):
    values = sorted(turn[kind][str(length)] for turn in rounds if str(length) in turn[kind])
    return values[len(values) // 2] if values else None


def whole(found, name, length):
    """Seconds of a token and to the first token of the whole model; None where they were not measured."""
    rounds, dense = found["rounds"].get(name, []), found["rounds"].get("dense", [])
    start = medians(dense, "decode", 0)
    decode, first = medians(rounds, "decode", length), medians(rounds, "first_token", length)
    if start is None or decode is None or first is None:
        return None
    head = max(2 * start - found["dense4"], 0)
    return head + PAIRS * (decode - head), PAIRS * first
