"""What benchmarks say of their machine, and where they write their tables."""
import datetime
import os
import subprocess


def machine():
    """The processor, as the system names it."""
    fields = {}
    for line in open("/proc/cpuinfo"):
        key, _, value = line.partition(":")
        fields.setdefault(key.strip(), value.strip())
    return f"{fields.get('model name')}, family {fields.get('cpu family')} model {fields.get('model')}, {os.cpu_count()} processors"


def about(root):
    """Machine, date and commit of a run."""
    commit = subprocess.run(["git", "-C", root, "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    return {"date": datetime.date.today().isoformat(), "commit": commit, "machine": machine()}


def words(run):
    """The same as a sentence's beginning."""
    return f"{run['machine']}. Commit {run['commit']} on {run['date']}"


def add_section(page, name, kind, title, program):
    """Adds marks of this name, under a title, behind those whose names begin with `kind`, if the page has none of this name."""
    text = page.read_text()
    if f"<!-- {name}: written by" in text:
        return
    begin = text.rindex(f"<!-- {kind}")
    end = text.index("-->", begin) + 3
    page.write_text(text[:end] + f"\n\n{title}\n\n<!-- {name}: written by {program} -->\n\n<!-- {name}: end -->" + text[end:])


def write(page, name, lines):
    """Puts lines between a page's marks `<!-- NAME: … -->` and `<!-- NAME: end -->`, and leaves the rest as it is."""
    before, rest = page.read_text().split(f"<!-- {name}: written by", 1)
    begin, rest = rest.split("-->", 1)
    end = f"<!-- {name}: end -->"
    page.write_text(f"{before}<!-- {name}: written by{begin}-->\n\n" + "\n".join(lines) + f"\n\n{end}" + rest.split(end, 1)[1])
