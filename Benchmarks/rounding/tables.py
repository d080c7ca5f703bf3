"""The tables of docs/performance.md about rounding, from the results."""
import statistics

import pages

# Label in the results, name in the table.
FOUR = [
    ("q4_0", "Q4_0"), ("iq4_nl", "IQ4_NL"), ("q4_K", "Q4_K, running"), ("iq4_xs", "IQ4_XS, running"), ("int4", "int4"),
    ("int4 calibrated", "int4, calibrated"), ("int4, as it runs", "int4, as it runs"), ("int4 calibrated, as it runs", "calibrated, as it runs"),
]
DOWN = [("down q4_0", "Q4_0"), ("down iq4_nl", "IQ4_NL"), ("down q4_K", "Q4_K"), ("down iq4_xs", "IQ4_XS"), ("down int4", "int4"),
        ("down int4 calibrated", "int4, calibrated")]
EIGHT = [("q8_0", "Q8_0"), ("int8", "int8"), ("int8, as it runs", "int8, as it runs")]


def bits(models, label):
    """Bits per weight in every model, as a range."""
    values = sorted(entry[label]["bits_per_weight"] for entry in models.values() if "bits_per_weight" in entry.get(label, {}))
    if not values:
        return ""
    low, high = f"{values[0]:.2f}", f"{values[-1]:.2f}"
    return low if low == high else f"{low} to {high}"


def table(models, rows, first):
    """Mean KL of each format (rows) in each model (columns), with the geometric mean of its ratio to `first`."""
    lines = ["| format | bits per weight | " + " | ".join(models) + f" | of {dict(rows)[first]} |", "|---|---|" + "---|" * (len(models) + 1)]
    for label, name in rows:
        own = {model: entry[label] for model, entry in models.items() if label in entry}
        if not own:
            continue
        cells = [f"{own[m]['mean_kl']:.2e} ± {own[m]['mean_kl_error']:.0e}" if m in own else "not measured" for m in models]
        ratios = [own[m]["mean_kl"] / models[m][first]["mean_kl"] for m in own if first in models[m]]
        ratio = f"{statistics.geometric_mean(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})" if ratios else ""
        lines.append(f"| {name} | {bits(models, label)} | " + " | ".join(cells) + f" | {ratio} |")
    return lines


def lines(results):
    models = results["models"]
    text = [f"{pages.words(results)}. {results['tokens']:,} tokens of the second half of the held-out text, "
            "windows of 2048, keys and values in float32; mean KL to the model in float32.", ""]
    text += table(models, FOUR, "q4_0")
    text += ["", "`down_proj` alone (768 and 512 inputs), everything else in float32, blocks of 256 as ggml has them:", ""]
    text += table(models, DOWN, "down q4_K")
    text += ["", "Eight bits, groups of 32:", ""]
    return text + table(models, EIGHT, "q8_0")


def write(results, page):
    if not results:
        return
    pages.write(page, "rounding", lines(results))
