"""Starting `duality` on several ranks, and what the checks have in common."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

DUALITY = os.environ.get("DUALITY", ".build-mpi/release/duality")
PROMPT = "Once upon a time there was a little fox named Pip."


# Debian's names of the two libraries' launchers are mpirun.openmpi and mpirun.mpich.
MPIRUN = os.environ.get("MPIRUN", "mpirun")


def is_open_mpi():
    return "Open MPI" in subprocess.run([MPIRUN, "--version"], capture_output=True, text=True).stdout


def launcher():
    """The launcher of either library, for more ranks than processors too."""
    if not is_open_mpi():
        return [MPIRUN]
    return [MPIRUN, *(["--allow-run-as-root"] if os.geteuid() == 0 else []), "--oversubscribe", "--bind-to", "none"]


def mpirun(ranks, *options):
    return [*launcher(), "-n", str(ranks), *options]


def run(command, timeout=300, **options):
    """Standard output, standard error, exit status and seconds of a command."""
    began = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL, **options)
    return done.stdout, done.stderr, done.returncode, time.monotonic() - began


def duality(ranks, *arguments, options=(), **rest):
    """The same, of `duality` on `ranks` ranks; alone for 0."""
    launcher = mpirun(ranks, *options) if ranks else []
    return run([*launcher, DUALITY, *arguments], **rest)


def two_programs(first, second):
    """Two ranks with other arguments each: a launcher's application contexts."""
    return run([*launcher(), "-n", "1", DUALITY, *first, ":", "-n", "1", DUALITY, *second])


def expect(condition, what, detail=""):
    if condition:
        print(f"ok    {what}", flush=True)
        return
    print(f"FAIL  {what}\n{detail}", flush=True)
    sys.exit(1)


def ranks_of(launcher=None):
    """Process ids of the ranks below a launcher, by rank; of all launchers without one."""
    found = {}
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            environment = open(f"/proc/{entry}/environ", "rb").read().split(b"\0")
            executable = os.readlink(f"/proc/{entry}/exe")
        except OSError:
            continue
        values = dict(item.split(b"=", 1) for item in environment if b"=" in item)
        rank = values.get(b"OMPI_COMM_WORLD_RANK", values.get(b"PMI_RANK"))
        if rank is not None and os.path.realpath(executable) == os.path.realpath(DUALITY):
            if launcher is None or descends(int(entry), launcher):
                found[int(rank)] = int(entry)
    return found


def descends(process, ancestor):
    while process > 1:
        if process == ancestor:
            return True
        try:
            process = int(open(f"/proc/{process}/stat").read().rsplit(")", 1)[1].split()[1])
        except OSError:
            return False
    return False


class Running:
    """A command in the background, with all that it starts; ended with the block."""

    def __init__(self, command, **options):
        self.out, self.err = tempfile.TemporaryFile(), tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            command, stdout=self.out, stderr=self.err, stdin=subprocess.DEVNULL, start_new_session=True, **options)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for sign in [signal.SIGTERM, signal.SIGKILL]:
            try:
                os.killpg(self.process.pid, sign)
                self.process.wait(5)
            except (ProcessLookupError, subprocess.TimeoutExpired):
                pass

    def text(self, file):
        # The command writes where it has got to; its place in the file must not be moved.
        return os.pread(file.fileno(), 1 << 24, 0).decode(errors="replace")

    def wait_for_output(self, seconds=120):
        """Until something is on standard output; whether that happened."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and self.process.poll() is None:
            if self.text(self.out):
                return True
            time.sleep(0.1)
        return False

    def wait(self, seconds):
        """Output, errors, status (None if it goes on) and seconds from now to its end."""
        began = time.monotonic()
        try:
            status = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            status = None
        return self.text(self.out), self.text(self.err), status, time.monotonic() - began


def need(*commands):
    missing = [command for command in commands if shutil.which(command) is None]
    if missing:
        print(f"skip  needs {', '.join(missing)}")
        sys.exit(0)
