"""What formats cost on trained weights: every model of the family against its float64 reference, on held-out prose."""
import sys

from program import FAMILY, ROOT

FORMATS = {
    "f32": ("--precision", "f32", "--kv", "f32"), "bf16": ("--precision", "bf16"), "int8, groups of 32": ("--precision", "int8", "--group", 32),
    "int8, rows": ("--precision", "int8", "--group", 0),
}


def measure(program, arguments, earlier, save):
    models = earlier.get("models", {}) if earlier.get("tokens") == arguments.tokens else {}
    found = {"tokens": arguments.tokens, "models": models}
    for name in FAMILY:
        if arguments.only and name not in arguments.only.split(","):
            continue
        for label, flags in FORMATS.items():
            print(f"{name}, {label}", file=sys.stderr, flush=True)
            result = program.json(
                "compare", "--model", ROOT / "Models/family" / name, "--against", "f64", *flags,
                "--tokens", arguments.tokens, "--window", 2048)
            models.setdefault(name, {})[label] = {key: result[key] for key in (
                "mean_kl", "mean_kl_error", "top1_agreement", "perplexity", "reference_perplexity", "delta_ppl", "delta_ppl_error")}
            save(found)
