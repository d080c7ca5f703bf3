"""Tables of docs/performance.md and docs/evaluation.md, and the plot, from the results."""
import pathlib
import subprocess

import pages
import shares
import speed
from formats import FORMATS
from program import FAMILY
from tasks import PRECISIONS


def origin(found):
    return f"{found['machine']}; {found['threads']} threads, {found['instruction_set']}. Commit {found['commit']} on {found['date']}."


def ratio(value):
    return "" if value is None else f"{value:.2f}"


def speed_lines(found):
    limits = found["limits"]
    loads = found["load"]
    lines = [
        f"{origin(found)} Limits in this run: int8 {limits['int8_tops']:.2f} TOPS, read {limits['read_gbps']:.1f} GB/s. "
        f"Load of the machine at the start of a shape: {min(loads):.1f} to {max(loads):.1f}.", "",
        "Decoding of one sequence, tokens per second against the dense model: measured / predicted / the card (8 H200, memory full of sequences). "
        "In brackets the dense model's tokens per second.", "",
    ]
    for kind, sign, predicted, published in (
        ("decode", -1, "decode_ratio", "published_decode_ratio"), ("first", 1, "prefill_time_ratio", "published_first_token_ratio"),
    ):
        if kind == "first":
            lines += ["", "Time to the first token against the dense model, below 1 is faster: measured / predicted / the card (batched). In brackets "
                      "the dense model's seconds.", ""]
        lines += ["| | " + " | ".join(f"{n // 1024}K" for n in found["lengths"]) + " |", "|---|" + "---|" * len(found["lengths"])]
        for name in speed.SHAPES:
            cells = []
            for length in found["lengths"]:
                own, dense = speed.whole(found, name, length), speed.whole(found, "dense", length)
                if own is None or dense is None:
                    cells.append("not measured")
                    continue
                place = 0 if kind == "decode" else 1
                if name == "dense":
                    cells.append(f"1 ({1 / dense[0]:.2f})" if kind == "decode" else f"1 ({dense[1]:.0f})")
                    continue
                theirs = found["predicted"][name].get(str(length), {})
                card = theirs.get(published)
                cells.append(" / ".join(
                    ["**" + ratio((own[place] / dense[place]) ** sign) + "**", ratio(theirs.get(predicted)), ratio(card) or "-"]))
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines + ["", "![speed of the family against length](family.svg)"]


def format_lines(found):
    lines = [
        f"{origin(found)} {found['tokens']:,} tokens of the held-out text in windows of 2048.", "",
        "| model | perplexity in float64 | format | mean KL | top-1 | perplexity changes by |", "|---|---|---|---|---|---|",
    ]
    for name in FAMILY:
        for label in FORMATS:
            if (result := found["models"].get(name, {}).get(label)) is None:
                continue
            begins = label == next(iter(FORMATS))
            cells = [
                name if begins else "", f"{result['reference_perplexity']:.3f}" if begins else "", label,
                f"{result['mean_kl']:.2e} ± {result['mean_kl_error']:.0e}", f"{100 * result['top1_agreement']:.2f} %",
                f"{100 * result['delta_ppl']:+.4f} ± {100 * (result['delta_ppl_error'] or 0):.4f} %",
            ]
            lines.append("| " + " | ".join(cells) + " |")
    return lines


def task_lines(found):
    lines = [
        f"{origin(found)} {found['limit']} rows of each; percent, with the 95 % interval; p is McNemar's against bf16, where both runs give an item 0 or 1.", "",
        "| model | task | length | " + " | ".join(PRECISIONS) + " | p int8 | p int4 |", "|---|---|---|" + "---|" * (len(PRECISIONS) + 2),
    ]
    for name, entry in found["models"].items():
        for row in entry.get("bf16", []):
            key = (row["task"], row["length"])
            cells = []
            for precision in PRECISIONS:
                own = next((r for r in entry.get(precision, []) if (r["task"], r["length"]) == key), None)
                cells.append("" if own is None else f"{100 * own['score']:.0f} ({100 * own['ci95'][0]:.0f} to {100 * own['ci95'][1]:.0f})")
            for precision in PRECISIONS[1:]:
                compared = next((c for c in entry.get(f"{precision} against bf16", []) if (c["task"], c.get("length")) == key), {})
                p = compared.get("mcnemar_p")
                cells.append("" if p is None else f"{p:.2f}")
            lines.append(f"| {name} | {row['task']} | {row['length'] // 1024}K | " + " | ".join(cells) + " |")
    return lines


def plot(found, directory):
    """A line a kind: tokens a second and time to the first token against the dense model, with the card's figures as points."""
    lines = ["# tokens\t" + "\t".join(f"{name} {what}" for name in speed.SHAPES for what in ("decode", "first", "card decode", "card first"))]
    for length in found["lengths"]:
        dense, cells = speed.whole(found, "dense", length), []
        for name in speed.SHAPES:
            own = speed.whole(found, name, length)
            card = found["predicted"][name].get(str(length), {})
            cells += ["?", "?"] if own is None or dense is None else [f"{dense[0] / own[0]:.4f}", f"{own[1] / dense[1]:.4f}"]
            cells += [str(card.get(f"published_{what}_ratio") or "?") for what in ("decode", "first_token")]
        lines.append("\t".join([str(length // 1024)] + cells))
    (directory / "family.tsv").write_text("\n".join(lines) + "\n")
    script = pathlib.Path(__file__).parent.parent / "family.gnuplot"
    try:
        subprocess.run(["gnuplot", "-e", f"data='{directory / 'family.tsv'}'; out='{directory / 'family.svg'}'", str(script)], check=True)
    except FileNotFoundError:
        print("no gnuplot: the plot was not drawn again")


def write(results, directory):
    places = {"speed": ("performance.md", speed_lines), "shares": ("performance.md", shares.lines), "formats": ("performance.md", format_lines),
              "tasks": ("evaluation.md", task_lines)}
    for name, (file, lines) in places.items():
        if name not in results:
            continue
        pages.write(directory / file, f"family {name}", lines(results[name]))
    if "speed" in results:
        plot(results["speed"], directory)
