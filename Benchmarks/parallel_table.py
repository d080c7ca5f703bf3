"""The tables of docs/parallel.md, of the 8B shape in int8 as `duality family --hosts` predicts it: tokens per second decoded / of a prompt; of a prompt by rows / by layers."""

import json
import os
import subprocess

DUALITY = os.environ.get("DUALITY", ".build/release/duality")
HOSTS = [("2 cores, 30 GB/s", 30, 1.15, ["1GbE", "10GbE", "100GbE-RDMA"]),
         ("desktop, 70 GB/s", 70, 4, ["1GbE", "10GbE", "25GbE"]),
         ("server, 250 GB/s", 250, 20, ["1GbE", "10GbE", "25GbE", "100GbE-RDMA"])]
NAMES = {"1GbE": "1 GbE", "10GbE": "10 GbE", "25GbE": "25 GbE", "100GbE-RDMA": "100 GbE, RDMA"}

def predicted(hosts, network, bandwidth, operations):
    command = [DUALITY, "family", "--hosts", str(hosts), "--network", network, "--bandwidth", str(bandwidth), "--tflops", str(operations), "--json"]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)["hosts"]


def table(most, cell):
    counts = [count for count in [1, 2, 4, 8, 16, 32, 64] if count <= most]
    print(f"| host | network | {' | '.join(map(str, counts))} |\n|{'---|' * (2 + len(counts))}")
    for host, bandwidth, operations, networks in HOSTS:
        for network in networks:
            cells = [cell(row) for row in predicted(most, network, bandwidth, operations)]
            print(f"| {host if network == networks[0] else ''} | {NAMES[network]} | {' | '.join(cells)} |")


table(64, lambda row: f"{row['decode_tokens_per_second']:.1f} / {row['prompt_tokens_per_second']:.0f}")
print()
table(8, lambda row: f"{row['prompt_tokens_per_second']:.0f} / {row['pipeline_prompt_tokens_per_second']:.0f}")
