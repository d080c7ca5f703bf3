"""What is refused, and whether the message says what to type."""

import json
import os
import shutil
import tempfile

from launch import PROMPT, duality, expect, two_programs

out, err, status, _ = duality(0, "generate", PROMPT, "--tensor-parallel", "2")
expect(status == 2 and "mpirun -n 2" in err and "2 processes" in err, "one process where 2 were asked", err)

out, err, status, _ = duality(3, "generate", PROMPT, "--tensor-parallel", "2")
expect(status != 0 and "found 3" in err and "mpirun -n 2" in err and "another" not in err and not out, "3 processes where 2 were asked", out + err)

out, err, status, _ = duality(2, "generate", PROMPT, "--engine", "reference", "--tensor-parallel", "2")
expect(status != 0 and "fast engine" in err, "the reference on 2 ranks", err)

out, err, status, _ = duality(2, "generate", PROMPT, "--model", "/nowhere", "--tensor-parallel", "2")
expect(status != 0 and "/nowhere" in err, "a model that is not there", err)

for arguments, what in [
    (["bench", "--threads", "1,2", "--prompt", "4", "--generate", "2"], "bench with two numbers of threads"),
    (["serve", "--port", "0", "--max-model-len", "-1"], "a wish that the server does not have"),
]:
    out, err, status, seconds = duality(2, *arguments)
    expect(status not in (0, None) and not out and seconds < 30, f"{what}: refused, and all end", out + err)

out, err, status, _ = duality(2, "family", "--hosts", "2")
expect(status == 0 and "family has no ranks" in err and err.count("family has no ranks") == 1, "a command without ranks says so", err)

# Rank 0 ends before it loads what the others wait for.
out, err, status, seconds = duality(2, "generate", PROMPT, "--logit-bias", "nonsense")
expect(status not in (0, None) and seconds < 30 and "--logit-bias" in err, "a wrong wish on rank 0: all end", out + err)


with tempfile.TemporaryDirectory() as folder:
    for name in ["a", "b"]:
        with open(f"{folder}/{name}.txt", "w") as file:
            file.write((PROMPT + f" He lived in {name} wood. ") * 40)
    text = [["perplexity", f"{folder}/{name}.txt", "--window", "64", "--threads", "1"] for name in ["a", "b"]]
    for first, second, what in [
        (text[0], text[1], "text"), (text[0], [*text[0], "--stride", "32"], "stride"),
        (text[0], [*text[0], "--precision", "int8"], "precision"),
    ]:
        out, err, status, _ = two_programs(first, second)
        expect(status != 0 and f"rank 1: {what}" in err and not out, f"a campaign with another {what} on a rank", out + err)

for shares, ranks, what, words in [
    ("5:3", 0, "shares without processes", ["mpirun -n 2"]),
    ("5:3", 3, "two shares of three processes", ["3 shares", "--balance 5:3:1"]),
    ("5:3", 1, "two shares of one process under a launcher", ["mpirun -n 2"]),
    ("5:3:1", 2, "three shares of two processes", ["2 shares", "--balance 5:3"]),
    ("5:0", 2, "a share of nothing", ["5:0", "whole numbers from 1 on"]),
    ("fast", 2, "shares in words", ["fast", "whole numbers from 1 on"]),
]:
    out, err, status, _ = duality(ranks, "generate", PROMPT, "--max-tokens", "4", "--balance", shares)
    expect(status not in (0, None) and all(word in err for word in words) and not out, what, out + err)
out, err, status, _ = duality(2, "perplexity", __file__, "--balance", "5:3")
expect(status != 0 and "--tensor-parallel 2" in err and not out, "shares of a campaign", out + err)

command = ["generate", PROMPT, "--max-tokens", "4", "--tensor-parallel", "2"]
out, err, status, _ = two_programs([*command, "--balance", "5:3"], [*command, "--balance", "3:5"])
expect(status != 0 and "rank 1: --balance" in err and not out, "another --balance on a rank", out + err)
out, err, status, _ = two_programs([*command, "--wire", "int8"], [*command, "--wire", "float32"])
expect(status != 0 and "rank 1: --wire" in err and not out, "another --wire on a rank", out + err)

# Two ranks that load different files.
with tempfile.TemporaryDirectory() as folder:
    model = os.path.join(os.path.dirname(__file__), "../../Models/duality-tiny")
    for name in ["a", "b"]:
        shutil.copytree(model, f"{folder}/{name}")
    path = f"{folder}/b/config.json"
    config = json.load(open(path))
    config["rms_norm_eps"] = 1e-5
    json.dump(config, open(path, "w"))
    command += ["--model"]
    out, err, status, _ = two_programs([*command, f"{folder}/a"], [*command, f"{folder}/b"])
    expect(status != 0 and "rank 1" in err and not out, "two models", out + err)
