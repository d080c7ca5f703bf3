"""The same output on 1, 2 and 3 ranks as on one process without MPI."""

import json
import tempfile

from launch import PROMPT, duality, expect

for precision in ["int8", "bf16", "f32"]:
    arguments = ["generate", PROMPT, "--seed", "7", "--max-tokens", "24", "--json", "--precision", precision, "--threads", "1"]
    alone, err, status, _ = duality(0, *arguments)
    expect(status == 0, f"{precision} without MPI", err)
    expected = json.loads(alone)["tokens"]
    for ranks in [1, 2, 3]:
        out, err, status, seconds = duality(ranks, *arguments, "--tensor-parallel", str(ranks))
        expect(status == 0, f"{precision} on {ranks} ranks ({seconds:.1f} s)", err)
        expect(json.loads(out)["tokens"] == expected, f"{precision} on {ranks} ranks: the same tokens", out)
    for wire in ["float32", "int8"]:
        out, err, status, _ = duality(2, *arguments, "--tensor-parallel", "2", "--wire", wire)
        expect(status == 0 and json.loads(out)["tokens"] == expected, f"{precision} with {wire} on the wire: the same tokens", out + err)
    for shares in ["5:3", "1:7", "auto"]:
        out, err, status, _ = duality(2, *arguments, "--tensor-parallel", "2", "--balance", shares)
        expect(status == 0 and json.loads(out)["tokens"] == expected, f"{precision} with shares {shares}: the same tokens", out + err)
    out, err, status, _ = duality(3, *arguments, "--tensor-parallel", "3", "--balance", "1:6:2")
    expect(status == 0 and json.loads(out)["tokens"] == expected, f"{precision} with shares 1:6:2: the same tokens", out + err)

text = tempfile.mkstemp(suffix=".txt")[1]
with open(text, "w") as file:
    file.write((PROMPT + " He lived in a wood. ") * 40)
alone = duality(0, "perplexity", text, "--window", "256", "--threads", "1")
for ranks in [2, 3]:
    out, err, status, _ = duality(ranks, "perplexity", text, "--window", "256", "--tensor-parallel", str(ranks), "--threads", "1")
    expect((out, status) == (alone[0], 0), f"perplexity on {ranks} ranks: the same report", out + err)

alone = duality(0, "perplexity", text, "--window", "64", "--threads", "1")
for ranks in [2, 3]:
    out, err, status, _ = duality(ranks, "perplexity", text, "--window", "64", "--threads", "1")
    expect((out, status) == (alone[0], 0), f"windows shared out among {ranks} ranks: the same report", out + err)
