"""vLLM on the CPU: seconds of a prompt, and of a token behind 16 others, as JSON.

    worker.py MODEL PROMPT GENERATED REPEATS eager|compiled

Random weights of its own (load_format "dummy"), bfloat16, one sequence at a time, no tokenizer. A token is what GENERATED + 1 take beyond one.
"""
import json
import os
import sys
import time

os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
from vllm import LLM, SamplingParams

model, (prompt, generated, repeats), form = sys.argv[1], map(int, sys.argv[2:5]), sys.argv[5]


def main():
    engine = LLM(
        model=model, skip_tokenizer_init=True, dtype="bfloat16", load_format="dummy", max_model_len=2048, max_num_seqs=1,
        max_num_batched_tokens=2048, enable_prefix_caching=False, enforce_eager=form == "eager")

    def seconds(length, tokens):
        """A prompt and some tokens; another prompt every time."""
        seconds.calls += 1
        ids = [(seconds.calls * 7919 + 31 * i) % 50000 for i in range(length)]
        start = time.perf_counter()
        answer = engine.generate(
            [{"prompt_token_ids": ids}], SamplingParams(max_tokens=tokens, temperature=0, ignore_eos=True, detokenize=False), use_tqdm=False)
        assert len(answer[0].outputs[0].token_ids) == tokens
        return time.perf_counter() - start

    seconds.calls = 0
    found = {"prompt": [], "token": []}
    for repetition in range(repeats + 1):
        whole, one, many = seconds(prompt, 1), seconds(16, 1), seconds(16, generated + 1)
        if repetition:
            found["prompt"].append(whole)
            found["token"].append((many - one) / generated)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
