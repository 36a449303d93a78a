#!/usr/bin/env python3
"""Measures how fast Hugging Face transformers generates: the peer of Precis on a GPU.

Static cache, SDPA, torch.compile with CUDA graphs; random bf16 weights of the shape that a config.json describes, and a
cache that is filled to the context with random K and V, for speed depends on neither. Greedy: the most likely id is
chosen within what is compiled, so that only ids come back. Standard output has one JSON object a line: one for each
case as soon as it is measured, with "error" instead of figures where it failed.

Needs torch and transformers 4.57 or later; without a GPU it runs on the CPU and without graphs, to try the script.

Exit codes: 0 every case was measured, 1 a case failed, 2 a flag or the config.json is wrong.
"""

import argparse
import gc
import inspect
import json
import os
import statistics
import sys
import time

EXAMPLE = """example:
  transformers_decode.py --config bench/geometries/qwen3-4b --case 1x1024 --case 1x32768 --case 32x2048
"""

# Steps before those that are timed: torch.compile runs once as it is, records, and then replays.
WARM_UP = 6
# Slots are a multiple of this: kernels take masks that are aligned without copying them.
SLOT_MULTIPLE = 64


class FlagError(Exception):
    """A flag or the config.json is wrong: exit code 2."""


def case_of(text):
    """'32x2048' -> (32, 2048): sequences and tokens of context of each."""
    batch, cross, context = text.partition("x")
    if not cross or not batch.isdigit() or not context.isdigit() or int(batch) < 1 or int(context) < 1:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected BATCHxCONTEXT such as 32x2048")
    return int(batch), int(context)


def whole(text):
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected an integer of 1 or more")
    return int(text)


def read_flags():
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", required=True, metavar="PATH", help="config.json of a dense model, or its folder")
    parser.add_argument("--case", type=case_of, action="append", default=[], metavar="BATCHxCONTEXT", help="repeatable")
    parser.add_argument("--batch", type=whole, default=1, metavar="N", help="sequences, with --context (default 1)")
    parser.add_argument("--context", type=whole, metavar="TOKENS", help="one more case: tokens of context of each")
    parser.add_argument("--tokens", type=whole, default=64, metavar="N", help="steps that are timed (default 64)")
    parser.add_argument("--repeat", type=whole, default=3, metavar="N", help="times that they are (default 3)")
    parser.add_argument(
        "--mode",
        choices=["auto", "reduce-overhead", "graph", "compile", "eager"],
        default="auto",
        help="reduce-overhead: torch.compile with its CUDA graphs; graph: torch.compile, and a CUDA graph recorded "
        "here; auto: the first, or where it makes no graphs the second; compile, eager: without graphs",
    )
    flags = parser.parse_args()
    if flags.context:
        flags.case.append((flags.batch, flags.context))
    if not flags.case:
        raise FlagError("--case or --context is expected")
    return flags


def read_config(path):
    """The configuration that transformers makes of a config.json."""
    import transformers

    file = os.path.join(path, "config.json") if os.path.isdir(path) else path
    if os.path.basename(file) != "config.json":
        raise FlagError(f"--config: {file}: expected a file config.json, or its folder")
    try:
        with open(file, encoding="utf-8") as opened:
            values = json.load(opened)
    except (OSError, ValueError) as error:
        raise FlagError(f"--config: {file}: {error}") from error
    if values.get("use_summary_attention"):
        raise FlagError(f"--config: {file}: has summary attention, expected a dense model")
    try:
        return transformers.AutoConfig.from_pretrained(os.path.dirname(os.path.abspath(file)))
    except (OSError, ValueError) as error:
        raise FlagError(f"--config: {file}: {one_line(error)}") from error


def one_line(error):
    said = str(error).strip().splitlines()
    return f"{type(error).__name__}: {said[0] if said else 'no message'}"


def make_model(config, device):
    import torch
    import transformers

    torch.manual_seed(0)
    with torch.device(device):
        model = transformers.AutoModelForCausalLM.from_config(
            config, dtype=torch.bfloat16, attn_implementation="sdpa"
        )
    # Not .to(bfloat16): rotary frequencies stay float, as in a model that from_pretrained loads.
    return model.to(device).eval()


def bytes_of(tensors):
    """Bytes of the tensors' memory; what two of them share (tied weights) counts once."""
    return sum({tensor.data_ptr(): tensor.numel() * tensor.element_size() for tensor in tensors}.values())


class Decoding:
    """Sequences of one case in a static cache, and the function that takes them a token further."""

    def __init__(self, model, batch, context, steps):
        import torch
        from transformers import StaticCache

        self.model, self.context = model, context
        device = model.device
        slots = -(-(context + steps) // SLOT_MULTIPLE) * SLOT_MULTIPLE
        self.cache = StaticCache(config=model.config, max_cache_len=slots)
        self.slots = torch.arange(slots, device=device)
        self.ids = torch.zeros((batch, 1), dtype=torch.long, device=device)
        self.position = torch.zeros((1,), dtype=torch.long, device=device)
        # Before 5.3 models are told where to write; later ones read it from the cache.
        told = "cache_position" in inspect.signature(type(model.model).forward).parameters
        self.where = {"cache_position": self.position} if told else {}
        self.step()  # the cache takes its memory with the first tokens, and must do so outside of what is compiled
        lengths = [getattr(layer, "cumulative_length", None) for layer in self.cache.layers]
        for layer in self.cache.layers:
            layer.keys.normal_()
            layer.values.normal_()
        # What a graph writes, or finds changed, must stay where it is; torch makes none otherwise.
        for tensor in [self.ids, self.position, *lengths, *self.kv()]:
            if isinstance(tensor, torch.Tensor):
                torch._dynamo.mark_static_address(tensor)
        self.rewind()

    def step(self):
        """[batch, 1]: the most likely ids behind `ids`, which stand at `position`."""
        batch = self.ids.shape[0]
        mask = (self.slots <= self.position).view(1, 1, 1, -1).expand(batch, 1, 1, -1)
        found = self.model(
            input_ids=self.ids,
            position_ids=self.position.view(1, 1).expand(batch, 1),
            attention_mask=mask,
            past_key_values=self.cache,
            use_cache=True,
            logits_to_keep=1,
            **self.where,
        )
        return found.logits[:, -1].argmax(dim=-1, keepdim=True)

    def advance(self, chosen):
        self.ids.copy_(chosen)
        self.position.add_(1)

    def rewind(self):
        """Back to the end of the context."""
        import torch

        self.position.fill_(self.context)
        for layer in self.cache.layers:
            length = getattr(layer, "cumulative_length", None)
            if isinstance(length, torch.Tensor):
                length.fill_(self.context)
            elif length is not None:
                layer.cumulative_length = self.context

    def kv(self):
        return [tensor for layer in self.cache.layers for tensor in (layer.keys, layer.values)]


def forget_compiled():
    """Gives back what was compiled and recorded, with the GPU's memory that graphs keep."""
    import torch

    torch._dynamo.reset()
    if torch.cuda.is_available():
        from torch._inductor import cudagraph_trees

        cudagraph_trees.reset_cudagraph_trees()
        gc.collect()
        torch.cuda.empty_cache()


def synchronize(device):
    import torch

    if device == "cuda":
        torch.cuda.synchronize()


def eager_steps(decoding, step):
    def run():
        decoding.advance(step())

    return run


def reduce_overhead_steps(decoding):
    """torch.compile with CUDA graphs, or None where it made none."""
    import torch
    from torch._dynamo.utils import counters

    counters.clear()
    step = torch.compile(decoding.step, mode="reduce-overhead", fullgraph=True, dynamic=False)

    def run():
        torch.compiler.cudagraph_mark_step_begin()
        decoding.advance(step())

    for _ in range(WARM_UP):
        run()
    torch.cuda.synchronize()
    if counters["inductor"]["cudagraph_skips"] > 0:
        return None
    return run


def graph_steps(decoding):
    """torch.compile without graphs, recorded as one CUDA graph together with the step to the next position."""
    import torch

    step = torch.compile(decoding.step, fullgraph=True, dynamic=False)
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            decoding.advance(step())
    torch.cuda.current_stream().wait_stream(side)
    torch.cuda.synchronize()
    decoding.rewind()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        decoding.advance(step())
    return graph.replay


def make_steps(decoding, mode, device):
    """(mode that it came to, function that does one step)"""
    import torch

    if device == "cpu" and mode in ("auto", "reduce-overhead", "graph"):
        mode = "compile"
    if mode in ("auto", "reduce-overhead"):
        why = "torch.compile made no CUDA graphs"
        try:
            run = reduce_overhead_steps(decoding)
            if run is not None:
                return "reduce-overhead", run
        except RuntimeError as error:  # torch's own errors are of this kind
            why = one_line(error)
        if mode == "reduce-overhead":
            raise RuntimeError(why)
        print(f"transformers_decode: reduce-overhead: {why}; trying a graph recorded by hand", file=sys.stderr)
        forget_compiled()
        decoding.rewind()
        mode = "graph"
    if mode == "graph":
        return mode, graph_steps(decoding)
    step = torch.compile(decoding.step, fullgraph=True, dynamic=False) if mode == "compile" else decoding.step
    return mode, eager_steps(decoding, step)


def measure(model, case, flags, device):
    """The figures of one case."""
    batch, context = case
    decoding = Decoding(model, batch, context, flags.tokens + WARM_UP)
    began = time.perf_counter()
    mode, run = make_steps(decoding, flags.mode, device)
    decoding.rewind()
    for _ in range(WARM_UP):
        run()
    synchronize(device)
    ready = time.perf_counter() - began
    times = []  # milliseconds a step
    for _ in range(flags.repeat):
        decoding.rewind()
        synchronize(device)
        start = time.perf_counter()
        for _ in range(flags.tokens):
            run()
        synchronize(device)
        times.append((time.perf_counter() - start) * 1e3 / flags.tokens)
    median = statistics.median(times)
    return {
        "mode": mode,
        "ms_per_token": median,
        "tokens_per_second": batch * 1e3 / median,
        "samples_ms": times,
        "kv_bytes": bytes_of(decoding.kv()),
        "ready_seconds": ready,
    }


def main():
    flags = read_flags()
    try:
        import torch
        import transformers
    except ImportError as error:
        raise FlagError(f"torch and transformers are needed: {error}") from error

    config = read_config(flags.config)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    about = {
        "peer": "transformers",
        "transformers": transformers.__version__,
        "torch": torch.__version__,
        "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
    }
    failed = False
    with torch.no_grad():
        model = make_model(config, device)
        about["weight_bytes"] = bytes_of(model.parameters())
        for batch, context in flags.case:
            result = {**about, "batch": batch, "context": context, "tokens": flags.tokens}
            try:
                result.update(measure(model, (batch, context), flags, device))
            except Exception as error:  # one case, of whatever it failed: the others are still wanted
                failed = True
                result["error"] = one_line(error)
            print(json.dumps(result), flush=True)
            forget_compiled()
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except FlagError as error:
        print(f"transformers_decode: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
