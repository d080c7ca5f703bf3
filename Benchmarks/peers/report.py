"""The table of docs/performance.md and its plots, from the results."""
import functools
import pathlib
import subprocess

import pages


class Row:
    """One line of the table: a test, our figure, a bar, and whether it is met."""

    def __init__(self, what, ours, other, ratio, bar, met, load=0.0):
        self.cells = [what, ours, other, ratio, bar, {True: "yes", False: "**no**", None: ""}[met]]
        self.load = load


def not_measured(function):
    """A row that says so where a figure is missing."""

    @functools.wraps(function)
    def row(self, *arguments, **names):
        try:
            return function(self, *arguments, **names)
        except KeyError as missing:
            what = names.get("what") or next(text for text in reversed(arguments) if isinstance(text, str) and " " in text)
            return Row(what, "", "", f"not measured: {missing.args[0]}", "", None)

    return row


def figure(samples, unit="", digits=None):
    """Median [min..max]."""
    values = [samples[key] for key in ("median", "min", "max")]
    digits = digits if digits is not None else 0 if values[0] >= 100 else 1 if values[0] >= 10 else 2
    middle, low, high = (f"{value:.{digits}f}" for value in values)
    return f"{middle}{unit} [{low}..{high}]" if low != high else middle + unit


class Results:
    def __init__(self, results):
        self.results = results

    def samples(self, name, who, test):
        return self.results[name]["contenders"][who][test]

    def best(self, name, prefix, test):
        """The fastest of the contenders whose name begins so: (name, samples)."""
        found = {who: tests[test] for who, tests in self.results[name]["contenders"].items()
                 if who.startswith(prefix) and test in tests}
        if not found:
            raise KeyError(prefix)
        who = max(found, key=lambda who: found[who]["median"])
        return who, found[who]

    def limit(self, name, which):
        return self.results[name]["limits"][which]

    @not_measured
    def against(self, name, ours, prefix, test, factor, what):
        """Our tokens per second against the best of a peer's settings."""
        us, (who, them) = self.samples(name, ours, test), self.best(name, prefix, test)
        ratio = us["median"] / them["median"]
        bar = f">= {factor} x {prefix}" if factor else f"ahead of {prefix}"
        return Row(what, figure(us), f"{figure(them)} ({who})", f"{ratio:.2f}", bar,
                   ratio >= factor if factor else ratio > 1, max(us["load_of_others"], them["load_of_others"]))

    @not_measured
    def share(self, name, who, test, value, limit, bar, what, unit, limit_name):
        """A rate against a limit of the machine, `value` of the median of the test."""
        samples = self.samples(name, who, test)
        rate, top = value(samples["median"]), self.limit(name, limit)
        return Row(what, f"{rate:.3g} {unit}", f"{top:.3g} {unit}, {limit_name}", f"{100 * rate / top:.0f} %",
                   f">= {bar} %", 100 * rate / top >= bar, samples["load_of_others"])

    # The bars, in the order of the table. Some are those of a kind of processor: what AVX-512 on Intel was held to first, and Zen 4.

    @property
    def is_amd(self):
        return any("AMD" in result["machine"] for result in self.results.values())

    def rows(self):
        parts = {"product": self.products, "8b-prefill": self.large, "dense": self.small, "int4": self.four_bits, "8b-int4": self.large_four_bits,
                 "deep": self.depth, "serving": self.servers, "chat": self.chat, "scan": self.scan, "loading": self.memory}
        for function in (function for name, function in parts.items() if not self.is_amd or name in self.results):
            try:
                yield from function()
            except KeyError as missing:
                yield Row(f"({function.__name__}: {missing} not measured)", "", "", "", "", None)

    def products(self):
        tests = self.results["product"]["contenders"]["int8 products"]
        for tokens, bar in ((512, 80), (128, 70)):
            for shape in [test.split()[0] for test in tests if test.endswith(f" {tokens} ours")]:
                us, them, peak = (tests[f"{shape} {tokens} {key}"] for key in ("ours", "oneDNN", "peak"))
                share, ratio = 100 * us["median"] / peak["median"], us["median"] / them["median"]
                yield Row(f"int8 product {shape.replace('x', ' x ')}, {tokens} tokens, TOPS", figure(us, digits=2),
                          f"{figure(them, digits=2)} (oneDNN)", f"{ratio:.2f}; {share:.0f} % of the peak",
                          f">= {bar} %" + (", no slower than oneDNN" if tokens == 512 else ""),
                          share >= bar and (tokens != 512 or ratio >= 1), us["load_of_others"])

    def large(self):
        us, layers = "Duality int8", self.results["8b-prefill"].get("layers", 36)
        operations = self.operations["hqwen3-8b"] * layers / 36
        what = "8B" if layers == 36 else f"8B, {layers} layers"
        yield self.share("8b-prefill", us, "pp512", lambda rate: rate * operations * 1e-12, "int8_tops", 85 if self.is_amd else 60,
                         f"{what}, prompt of 512, share of the int8 peak", "TOPS", "measured")
        for peer, factor in (("llama.cpp", None), ("ik_llama.cpp", None), ("OpenVINO", 1.3)) if self.is_amd else (
                ("llama.cpp", 6), ("ik_llama.cpp", 2), ("OpenVINO", None)):
            yield self.against("8b-prefill", us, peer, "pp512", factor, f"{what}, prompt of 512, tokens/s")
        def gigabytes(rate):
            return rate * self.samples("8b-decode", us, "weight bytes per token")["median"] * 1e-9

        yield self.share("8b-decode", us, "tg16", gigabytes, "read_gbps", 90, f"{what}, generation, share of the read bandwidth",
                         "GB/s", "measured")
        for peer, factor in (("llama.cpp", None), ("ik_llama.cpp", None), ("OpenVINO", None)) if self.is_amd else (
                ("llama.cpp", 2), ("ik_llama.cpp", 1.35), ("OpenVINO", None)):
            yield self.against("8b-decode", us, peer, "tg16", factor, f"{what}, generation, tokens/s")

    def small_shares(self):
        """What the 0.6B shape reaches of the limits."""
        bytes = {who: self.samples(name, f"Duality {who}", "weight bytes per token")["median"] for name, who in (("dense", "int8"), ("bf16", "bf16"))
                 if name in self.results}
        yield self.share("dense", "Duality int8", "pp512", lambda rate: rate * self.operations["qwen3-0.6b"] * 1e-12, "int8_tops", 80,
                         "0.6B int8, prompt of 512, share of the int8 peak", "TOPS", "measured")
        for name, who, bar in (("dense", "int8", 85), ("bf16", "bf16", 80)):
            yield self.share(name, f"Duality {who}", "tg64", lambda rate, who=who: rate * bytes[who] * 1e-9, "read_gbps", bar,
                             f"0.6B {who}, generation, share of the read bandwidth", "GB/s", "measured")

    def small(self):
        if self.is_amd:
            yield from self.small_shares()
        for test, name, factors in (("pp512", "prompt of 512", (1.3, None, 1.2) if self.is_amd else (1.4, 2, 1.7)),
                                    ("tg64", "generation", (None, None, None) if self.is_amd else (1.3, None, 1.6))):
            yield self.against("dense", "Duality int8", "OpenVINO", test, factors[0], f"0.6B int8, {name}, tokens/s")
            for peer in ("ik_llama.cpp", "llama.cpp"):
                yield self.against("dense", "Duality int8", peer, test, None, f"0.6B int8, {name}, tokens/s")
            if factors[1]:
                yield self.against("group32", "Duality int8/32", "ik_llama.cpp", test, factors[1],
                                   f"0.6B, a scale for 32 weights, {name}, tokens/s")
            peers = ("OpenVINO", "llama.cpp", "ik_llama.cpp") if test == "pp512" else ("llama.cpp", "ik_llama.cpp")
            for peer in peers:
                yield self.against("bf16", "Duality bf16", peer, test, factors[2], f"0.6B bf16, {name}, tokens/s")

    def bits(self, name, who):
        return self.samples(name, who, "bits per weight")["median"]

    @not_measured
    def four_bits_against(self, name, peer, test, factor, what):
        """Our int4 beside the fastest form of a peer's four bits, with bits per weight."""
        us, (who, them) = self.samples(name, "Duality int4", test), self.best(name, peer, test)
        ratio = us["median"] / them["median"]
        return Row(what, f"{figure(us)}, {self.bits(name, 'Duality int4'):.2f} bits", f"{figure(them)} ({who}, {self.bits(name, who):.2f} bits)",
                   f"{ratio:.2f}", f">= {factor} x {peer}", ratio >= factor, max(us["load_of_others"], them["load_of_others"]))

    def four_bits(self, name="int4", what="0.6B int4", generation="tg64"):
        formats = ("llama.cpp Q4_K_M", "llama.cpp Q4_0", "llama.cpp IQ4_XS", "ik_llama.cpp", "OpenVINO")
        us, eight = (self.samples(name, f"Duality {precision}", "pp512") for precision in ("int4", "int8"))
        ratio = us["median"] / eight["median"]
        yield Row(f"{what}, prompt of 512, tokens/s", figure(us), f"{figure(eight)} (our int8)", f"{ratio:.2f}", ">= 0.85 x our int8", ratio >= 0.85,
                  us["load_of_others"])
        for test, words, factor in (("pp512", "prompt of 512", 1.5), (generation, "generation", 1.2)):
            for peer in formats:
                yield self.four_bits_against(name, peer, test, factor, f"{what}, {words}, tokens/s")

    def large_four_bits(self):
        yield from self.four_bits("8b-int4", "8B int4, 8 layers", "tg16")
        bytes = self.samples("8b-int4", "Duality int4", "weight bytes per token")["median"]
        yield self.share("8b-int4", "Duality int4", "tg16", lambda rate: rate * bytes * 1e-9, "read_gbps", 85,
                         "8B int4, 8 layers, generation, share of the read bandwidth", "GB/s", "measured")
        if "8b-int4-whole" not in self.results:
            return
        run = self.results["8b-int4-whole"]["contenders"]["Duality int4"]
        load, bytes, weights = (run[key]["median"] for key in ("load seconds", "weight bytes per token", "weight bytes"))
        yield self.share("8b-int4-whole", "Duality int4", "tg16", lambda rate: rate * bytes * 1e-9, "read_gbps", 85,
                         "8B int4, generation, share of the read bandwidth", "GB/s", "measured")
        yield Row("8B int4, weights, GiB", f"{weights / 2**30:.2f}", "", "", "<= 4.8", weights <= 4.8 * 2**30)
        yield Row("8B int4 mapped, loading when cached, s", f"{load:.2f}", "", "", "< 2", load < 2)

    @not_measured
    def streams_against(self, name, ours, peers, streams, factor, what):
        """Tokens per second over HTTP beside the best of some servers."""
        test = f"{streams} streams"
        found = {who: tests[test] for who, tests in self.results[name]["contenders"].items() if who in peers}
        if not found:
            raise KeyError(" and ".join(peers))
        us, who = self.samples(name, ours, test), max(found, key=lambda who: found[who]["median"])
        ratio = us["median"] / found[who]["median"]
        return Row(what, figure(us), f"{figure(found[who])} ({who})", f"{ratio:.2f}", f">= {factor} x", ratio >= factor, us["load_of_others"])

    def servers(self):
        for precision, peers in (("bf16", ("llama-server BF16", "vLLM bf16")), ("bf16-dot", ("llama-server BF16", "vLLM bf16")),
                                 ("int8", ("llama-server Q8_0",))):
            for streams in (1, 8):
                what = f"0.6B {precision} over HTTP, {streams} stream{'s' if streams > 1 else ''}, tokens/s"
                yield self.streams_against("serving", f"Duality {precision}", peers, streams, 1.5, what)

    def chat(self):
        peer = ("llama-server Q8_0",)
        for streams, factor in ((1, 1.5), (8, 3)):
            what = f"0.6B hybrid int8 over HTTP, {streams} stream{'s' if streams > 1 else ''}, tokens/s"
            yield self.streams_against("chat", "Duality int8", peer, streams, factor, what)
        for turn in (1, 2, 5):
            us, them = (self.samples("chat", who, f"turn {turn}") for who in ("Duality int8", "llama-server Q8_0"))
            ratio = us["median"] / them["median"]
            yield Row(f"0.6B hybrid int8 over HTTP, turn {turn} of a chat of 2,000 tokens, first token, ms", figure(scaled(us, 1e3)),
                      f"{figure(scaled(them, 1e3))} (llama-server Q8_0)", f"{ratio:.3f}", "<= 0.2" if turn == 5 else "", ratio <= 0.2 if turn == 5 else None,
                      us["load_of_others"])

    def depth(self):
        what = "0.6B {}, generation behind 4096 tokens, tokens/s"
        yield self.against("deep", "Duality hybrid", "llama.cpp hybrid", "tg32@4096", 3, what.format("hybrid"))
        us = "Duality dense"
        if any(who.startswith(us) for who in self.results.get("deep", {"contenders": {}})["contenders"]):
            us = self.best("deep", us, "tg32@4096")[0]
        yield self.against("deep", us, "OpenVINO", "tg32@4096", 1.3, what.format(us.replace("Duality ", "")))
        for peer in ("ik_llama.cpp", "llama.cpp dense"):
            yield self.against("deep", us, peer, "tg32@4096", None, what.format(us.replace("Duality ", "")))

    @not_measured
    def scan_against(self, peer, factor, what):
        us, them = (self.samples("scan", who, "scan") for who in ("Duality", peer))
        ratio = them["median"] / us["median"]
        return Row(what, figure(scaled(us, 1e3)), f"{figure(scaled(them, 1e3))} ({peer})", f"{ratio:.2f}", f">= {factor} x",
                   ratio >= factor, us["load_of_others"])

    def scan(self):
        for peer, factor in (("ggml", 3), ("PyTorch, chunked", 5)):
            yield self.scan_against(peer, factor, "scan, L = 2048, H = 32, P = N = 128, ms")
        us = self.samples("scan", "Duality", "scan")
        # Operations of the chunked form, without what the causal mask cuts off; chunks of 64.
        done = 2048 * 32 * (4 * 128 * 128 + 65 / 2 * 4 * 128 + 2 * 128 * 128 / 64)
        rate, peak = done / us["median"] * 1e-12, self.limit("scan", "f32_tflops")
        yield Row("the same, share of the float32 peak", f"{rate:.3f} TFLOPS", f"{peak:.3f}, measured",
                  f"{100 * rate / peak:.0f} %", ">= 50 %", rate >= 0.5 * peak, us["load_of_others"])
        long, short = (self.samples("scan-length", length, "scan") for length in ("131072", "16384"))
        ratio = long["median"] / short["median"]
        yield Row("scan of 131072 tokens and of 16384, ms", figure(scaled(long, 1e3)), figure(scaled(short, 1e3)),
                  f"{ratio:.2f}", "<= 8.3", ratio <= 8.3, long["load_of_others"])

    def memory(self):
        run = self.results["loading"]["contenders"]["Duality 8B mapped"]
        load, peak, weights = (run[key]["median"] for key in ("load seconds", "peak bytes", "weight bytes"))
        # The caches: keys and values in whole pages, and the states.
        allowed = weights + (400 << 20) + self.cache_bytes
        yield Row("8B mapped, peak memory, GiB", f"{peak / 2**30:.2f}", f"{weights / 2**30:.2f} (weights)",
                  f"{(peak - weights) / 2**20:.0f} MiB more", "weights + caches + 400 MiB", peak <= allowed)
        yield Row("8B mapped, loading when cached, s", f"{load:.2f}", "", "", "< 2", load < 2)

    # Operations of a token (two for each weight of the layers), and bytes of the 8B hybrid's cache for the 528 tokens of `loading`.
    operations = {"qwen3-0.6b": 2 * 28 * 1024 * (2 * 2048 + 2 * 1024 + 3 * 3072), "hqwen3-8b": 2 * (18 * 4096 * (10272 + 4096) + 18 * 4096 * (6144 + 4096) + 36 * 3 * 4096 * 12288)}
    cache_bytes = 18 * (640 * 2 * 8 * 128 * 2) + 18 * 4 * (32 * 128 * 128 + 64 * (2 * 8 * 128 + 2 * 32))


def scaled(samples, factor):
    return {key: samples[key] * factor for key in ("median", "min", "max")}


def context_table(results):
    """Hybrid against dense at long contexts: two layers measured, the whole computed."""
    found, whole = results["long-context"]["contenders"], results["whole-token"]["contenders"]
    lines = ["| tokens before | first token, dense, s | hybrid, s | ratio | generation, dense, tokens/s | hybrid | ratio |",
             "|---|---|---|---|---|---|---|"]
    for length in ("16384", "65536"):
        first, token = {}, {}
        for who in ("dense", "hybrid"):
            layers = found[who]
            first[who] = 14 * layers[f"first token s @{length}"]["median"]
            more = layers[f"token ms @{length}"]["median"] - layers["token ms @16"]["median"]
            token[who] = 1e3 / whole[who]["tg64"]["median"] + 14 * more
        lines.append(
            f"| {length} | {first['dense']:.0f} | {first['hybrid']:.0f} | {first['dense'] / first['hybrid']:.2f} "
            f"| {1e3 / token['dense']:.2f} | {1e3 / token['hybrid']:.2f} | {token['dense'] / token['hybrid']:.2f} |")
    return lines


def table(results, name):
    found = Results(results)
    rows = list(found.rows())
    lines = []
    commits = sorted({f"{result['commit']} on {result['date']}" for result in results.values()})
    machines = sorted({result["machine"] for result in results.values()})
    threads = sorted({str(result["threads"]) for result in results.values()})
    lines.append(f"{'; '.join(machines)}; {', '.join(threads)} threads. Commits {', '.join(commits)}. Limits in these runs: " + "; ".join(
        f"{name} {low:.3g} to {high:.3g} {unit}" for name, key, unit in (
            ("int8", "int8_tops", "TOPS"), ("float32", "f32_tflops", "TFLOPS"), ("bf16", "bf16_tflops", "TFLOPS"),
            ("read", "read_gbps", "GB/s"))
        for low, high in [(min(r["limits"][key] for r in results.values()), max(r["limits"][key] for r in results.values()))])
        + f". Other processes used {100 * max((row.load for row in rows), default=0):.0f} % of a core at most.")
    lines += ["", "| test | ours | beside | ratio | bar | met |", "|---|---|---|---|---|---|"]
    lines += ["| " + " | ".join(row.cells) + " |" for row in rows]
    if all({"dense", "hybrid"} <= results.get(name, {"contenders": {}})["contenders"].keys() for name in ("long-context", "whole-token")):
        lines += ["", "Long contexts, hybrid of the 0.6B widths against the dense model, int8, keys and values in bf16. Two layers were measured (one Mamba-2 "
                  "and one attention, or two attention); times are 14 times theirs, a token's on top of that of the whole model at the start.", ""]
        lines += context_table(results)
    lines += ["", f"![tokens per second of each engine]({name}.svg)"]
    return lines


def plot(results, directory, name):
    """Bars of the 0.6B and 8B tests, ours and each peer's best setting; by gnuplot, if it is there."""
    groups = [("dense", "pp512", "0.6B int8 prompt"), ("group32", "pp512", "0.6B groups of 32 prompt"), ("bf16", "pp512", "0.6B bf16 prompt"),
              ("dense", "tg64", "0.6B int8 generation"), ("bf16", "tg64", "0.6B bf16 generation"), ("deep", "tg32@4096", "0.6B behind 4096"),
              ("8b-prefill", "pp512", "8B prompt"), ("8b-decode", "tg16", "8B generation"),
              ("int4", "pp512", "0.6B int4 prompt"), ("int4", "tg64", "0.6B int4 generation"), ("8b-int4", "pp512", "8B int4 prompt"),
              ("8b-int4", "tg16", "8B int4 generation")]
    engines = ["Duality", "OpenVINO", "ik_llama.cpp", "llama.cpp"]
    lines = ["# relative to Duality\t" + "\t".join(engines)]
    for measurement, test, label in groups:
        if measurement not in results:
            continue
        best = {}
        for engine in engines:
            rates = [tests[test]["median"] for who, tests in results[measurement]["contenders"].items()
                     if who.startswith(engine) and "hybrid" not in who and test in tests
                     and not (who == "Duality int8" and "int4" in measurement)]
            best[engine] = max(rates, default=None)
        if not best["Duality"]:
            continue
        lines.append("\t".join([f'"{label}"'] + [f"{best[e] / best['Duality']:.3f}" if best[e] else "?" for e in engines]))
    if len(lines) == 1:
        return
    (directory / f"{name}.tsv").write_text("\n".join(lines) + "\n")
    script = pathlib.Path(__file__).parent.parent / "peers.gnuplot"
    try:
        subprocess.run(["gnuplot", "-e", f"data='{directory / name}.tsv'; out='{directory / name}.svg'", str(script)], check=True)
    except FileNotFoundError:
        print("no gnuplot: the plot was not drawn again")


def write(results, directory):
    """A table for each processor, in a section of its own, and a plot."""
    for machine in sorted({result["machine"] for result in results.values()}):
        found = {name: result for name, result in results.items() if result["machine"] == machine}
        mark = "peers, " + machine
        pages.add_section(directory / "performance.md", mark, "peers,", f"### {machine}", "Benchmarks/peers")
        name = "peers-" + "-".join("".join(c.lower() if c.isalnum() else " " for c in machine.split(",")[0] + machine.split(",")[1]).split())
        pages.write(directory / "performance.md", mark, table(found, name))
        plot(found, directory, name)
