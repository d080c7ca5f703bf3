"""The header compiles as C and as C++, and a program in C gets its answers and its errors."""

import shutil
import subprocess
from pathlib import Path

import pytest

import duality_ssd

REPOSITORY = Path(__file__).parents[2]
HEADERS = REPOSITORY / "Sources" / "CInterface" / "include"

PROGRAM = r"""
#include <duality_ssd.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

int main(void)
{
    if (duality_abi_version() != DUALITY_ABI_VERSION) return 1;
    /* One head, one channel, two tokens: S_1 = 3, S_2 = exp(-1/2) 3 + 5. */
    float x[] = {3, 5}, dt[] = {1, 1}, a[] = {-0.5f}, ones[] = {1, 1};
    int64_t four[] = {1, 2, 1, 1}, three[] = {1, 2, 1}, one[] = {1};
    duality_tensor operands[] = {
        {"x", "F32", x, 4, four, NULL},    {"dt", "F32", dt, 3, three, NULL},  {"A", "F32", a, 1, one, NULL},
        {"B", "F32", ones, 4, four, NULL}, {"C", "F32", ones, 4, four, NULL},
    };
    duality_result *r = duality_ssd(operands, 5, "{\"dt_softplus\": false}");
    duality_tensor y;
    if (duality_status(r) != DUALITY_OK || !duality_find(r, "y", &y) || duality_count(r) != 3) return 2;
    if (strcmp(y.dtype, "F64") || y.rank != 4 || y.shape[1] != 2 || y.strides[1] != 8) return 3;
    if (fabs(((const double *)y.data)[1] - (3 * exp(-0.5) + 5)) > 1e-14) return 4;
    if (duality_text(r, "error") || duality_find(r, "z", &y) || duality_tensor_at(r, 3, &y)) return 5;
    duality_free(r);

    r = duality_bound(operands, 5, NULL);
    if (duality_status(r) != DUALITY_OK || !duality_find(r, "sigma.y", &y)) return 6;
    duality_free(r);

    a[0] = 1;
    r = duality_ssd(operands, 5, NULL);
    if (duality_status(r) != DUALITY_VALUE) return 7;
    printf("%s\n", duality_text(r, "error"));
    duality_free(r);

    operands[1].data = NULL;
    r = duality_ssd(operands, 5, NULL);
    printf("%s\n", duality_text(r, "error"));
    duality_free(r);
    r = duality_ssd(NULL, 5, NULL);
    if (duality_status(r) != DUALITY_MISSING) return 8;
    duality_free(r);
    operands[1].data = dt;
    r = duality_ssd(operands, 5, "{\"form\": ");
    if (duality_status(r) != DUALITY_JSON) return 9;
    duality_free(r);
    duality_free(NULL);
    return duality_status(NULL) == DUALITY_OTHER ? 0 : 10;
}
"""


def compiler(*names):
    for name in names:
        if shutil.which(name):
            return name
    swift = shutil.which("swift")  # a toolchain brings its own
    if swift and (Path(swift).resolve().parent / "clang").exists():
        return str(Path(swift).resolve().parent / "clang")
    pytest.skip("no C compiler")


@pytest.mark.skipif(not HEADERS.exists(), reason="not in a checkout")
def test_a_program_in_c(tmp_path):
    source, program = tmp_path / "program.c", tmp_path / "program"
    source.write_text(PROGRAM)
    library = duality_ssd.library_path().resolve()
    subprocess.run(
        [compiler("cc", "clang"), "-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", str(source), "-I", str(HEADERS)]
        + [f"-L{library.parent}", "-lduality_ssd", f"-Wl,-rpath,{library.parent}", "-lm", "-o", str(program)],
        check=True,
    )
    run = subprocess.run([str(program)], capture_output=True, text=True)
    assert run.returncode == 0, f"exit {run.returncode}\n{run.stdout}{run.stderr}"
    assert run.stdout.splitlines() == [
        "operands: A: expected numbers <= 0, found 1.0 at head 0. A is the decay rate itself, A = -exp(A_log).",
        "operands: dt: expected the address of 2 elements, found NULL",
    ]


@pytest.mark.skipif(not HEADERS.exists(), reason="not in a checkout")
def test_the_header_is_cpp_too(tmp_path):
    source = tmp_path / "program.cpp"
    source.write_text("#include <duality_ssd.h>\nint main() { return duality_abi_version() == 1 ? 0 : 1; }\n")
    subprocess.run([compiler("c++", "clang++"), "-fsyntax-only", "-Wall", "-Werror", "-I", str(HEADERS), str(source)], check=True)
