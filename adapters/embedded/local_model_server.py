"""Room 3, the world: the process in which the local model runs; started by `local_model.py`.

May import: standard library, xllamacpp.

Usage: local_model_server.py MODEL_FILE NAME SLOTS CONTEXT_TOKENS. Prints one line, a JSON object
with `address` or `error`, and serves until its standard input ends, which happens by itself when
the process that started it is gone.
"""

import json
import os
import sys

import xllamacpp


def _parameters(model: str, name: str, slots: int, context_tokens: int) -> xllamacpp.CommonParams:
    wanted = xllamacpp.CommonParams()
    wanted.model.path = model
    wanted.model_alias = {name}  # Else every reply would name the file.
    wanted.port = 0
    wanted.n_parallel = slots
    wanted.n_ctx = slots * context_tokens  # Each slot gets its share.
    wanted.kv_unified = False
    # Its threads wait for each other after every step. With as many as cores, one that has to share
    # its core stops them all: 40 tokens took up to 57 s on two busy cores, and 0.4 s with one
    # thread; on idle ones 0.27 s and 0.31 s.
    threads = max(1, _cores() // 2)
    wanted.cpuparams.n_threads = threads
    wanted.cpuparams_batch.n_threads = threads
    wanted.n_gpu_layers = 0
    wanted.fit_params = False
    # Measured on two cores: long prompts take half the time that they take without it.
    wanted.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_ENABLED
    wanted.cache_ram_mib = 0  # The default keeps up to 8 GiB of old prompts.
    # As its makers recommend, and a little against repeating itself: a very small model needs it.
    wanted.sampling.temp = 0.2
    wanted.sampling.top_p = 0.9
    wanted.sampling.penalty_repeat = 1.1
    wanted.ui = False
    wanted.endpoint_slots = False  # It shows the prompts of others.
    wanted.cors_origins = ""  # Not for pages in a browser; the service alone talks to it.
    wanted.verbosity = 0
    return wanted


def _cores() -> int:
    affinity = getattr(os, "sched_getaffinity", None)  # Linux only; knows of taskset and cpusets.
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def main() -> None:
    """Start the server, say where it listens, and wait for the end of standard input."""
    model, name, slots, context_tokens = sys.argv[1:]
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # llama.cpp prints to standard output as well; the line must stand alone.
    try:
        server = xllamacpp.Server(_parameters(model, name, int(slots), int(context_tokens)))
    except Exception as error:  # noqa: BLE001 - whatever it is, the parent reports it.
        print(json.dumps({"error": str(error)}), file=answers, flush=True)
        os._exit(1)
    print(json.dumps({"address": server.listening_address}), file=answers, flush=True)
    sys.stdin.buffer.read()
    # Not a normal exit: closing the server waits up to 30 seconds for replies under way.
    os._exit(0)


if __name__ == "__main__":
    main()
