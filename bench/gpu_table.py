#!/usr/bin/env python3
"""Measures a GPU's rows of docs/performance.md: Precis on random weights, and the peer beside it in the same run.

Groups of cases (--only chooses):
  dense    Qwen3-4B's shape, one sequence, generation behind 1k, 2k, 4k ... 128k tokens
  ksa      the same of KSA-4B's shape
  batch    Qwen3-4B's shape, 32 sequences behind 2k tokens
  prefill  KSA-4B's shape, a prompt of 128k tokens
  start    process start to first token, with --model
  peer     bench/peers/transformers_decode.py: 1 sequence at 1k and 32k, 32 at 2k; where torch and transformers are

What fails or takes too long is told on standard error, and the rest goes on. Standard output gets markdown; --save
keeps every figure, and --from writes the tables and the plot of a saved file once more, on any machine.

Exit codes: 0 all that was asked for was measured, 1 something is missing, 2 a flag is wrong.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import gpu_plot

HERE = os.path.dirname(os.path.abspath(__file__))
GROUPS = ["dense", "ksa", "batch", "prefill", "peer", "start"]
CONTEXTS = [1 << shift for shift in range(10, 18)]
QUICK_CONTEXTS = [1024, 32768]
# What a sequence may come to beyond its context: the engine's own tokens and what is generated.
ROOM = 512
PEER_CASES = [(1, 1024), (32, 2048), (1, 32768)]  # sequences, context
# Of a program that was asked to stop until it is ended.
GRACE_SECONDS = 20

EXAMPLE = """examples:
  gpu_table.py --svg docs/gpu.svg --save gpu.json > rows.md
  gpu_table.py --only ksa --only prefill --quick
  gpu_table.py --from gpu.json --svg docs/gpu.svg
"""


class FlagError(Exception):
    """A flag is wrong: exit code 2."""


class RunError(Exception):
    """A program failed; what it had measured before, if anything, is in `output`."""

    def __init__(self, message, output=""):
        super().__init__(message)
        self.output = output


def note(text):
    print(f"gpu_table: {text}", file=sys.stderr, flush=True)


def run_program(command, limit):
    """Standard output. Whoever takes longer than `limit` seconds is interrupted: precis bench prints what it has."""
    began = time.perf_counter()
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
    except OSError as error:
        raise RunError(f"{command[0]}: {error.strerror}") from error
    late = False
    try:
        output, said = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        late = True
        process.send_signal(signal.SIGINT)
        try:
            output, said = process.communicate(timeout=GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            output, said = process.communicate()
    except BaseException:
        process.kill()
        process.wait()
        raise
    note(f"{' '.join(command)}: {time.perf_counter() - began:.1f} s")
    if late:
        raise RunError(f"took longer than {limit:g} s", output)
    if process.returncode != 0:
        lines = said.strip().splitlines()
        raise RunError(f"exit code {process.returncode}: {lines[-1] if lines else 'no message'}", output)
    return output


class Measurement:
    """Runs the groups; `found` is all that was measured, as it is saved."""

    def __init__(self, flags):
        self.flags = flags
        self.found = {"date": time.strftime("%Y-%m-%d"), "precis": {}, "peer": [], "missing": []}

    def miss(self, what, error):
        note(f"{what}: {error}")
        self.found["missing"].append(f"{what}: {error}")

    def bench(self, group, geometry, cases):
        """One `precis bench`; results are added to the group's."""
        flags = self.flags
        command = [flags.precis, "bench", "--dummy", geometry, *cases, "--backend", flags.backend]
        command += ["-b", str(flags.piece), "--json"]
        if flags.kv_cache_dtype:
            command += ["--kv-cache-dtype", flags.kv_cache_dtype]
        if flags.deterministic:
            command.append("--deterministic")
        error = None
        try:
            output = run_program(command, flags.limit)
        except RunError as failure:
            error, output = failure, failure.output
        try:
            report = json.loads(output) if output.strip() else None
        except ValueError:
            report = None
        if report is not None:
            group = self.found["precis"].setdefault(group, {**report, "results": []})
            group["results"] += report["results"]
        if error:
            raise error

    def generation(self, group, geometry, depths, sequences, tokens):
        cases = lambda some: ["-p", "0", "-n", str(tokens), "-r", str(self.flags.repeat), "-np", str(sequences),
                              "-d", ",".join(map(str, some)), "-c", str(max(some) + ROOM)]  # fmt: skip
        try:
            return self.bench(group, geometry, cases(depths))
        except RunError as error:
            note(f"{group}: {error}")
            measured = [result["depth"] for result in results_of(self.found, group)]
            left = [depth for depth in depths if depth not in measured]
            if left and len(depths) == 1:
                return self.miss(f"{group} {left[0]}", error)
        for depth in left:  # one that cannot be measured shall not keep the others from it
            try:
                self.bench(group, geometry, cases([depth]))
            except RunError as error:
                self.miss(f"{group} {depth}", error)

    def dense(self):
        self.generation("dense", self.flags.dense, self.flags.contexts, 1, self.flags.tokens)

    def ksa(self):
        self.generation("ksa", self.flags.ksa, self.flags.contexts, 1, self.flags.tokens)

    def batch(self):
        self.generation("batch", self.flags.dense, [self.flags.batch_context], self.flags.sequences, self.flags.tokens)

    def prefill(self):
        tokens = self.flags.prompt
        repeat = "1" if self.flags.quick else "2"
        cases = ["-p", str(tokens), "-n", "0", "-d", "0", "-r", repeat, "-c", str(tokens + ROOM)]
        try:
            self.bench("prefill", self.flags.ksa, cases)
        except RunError as error:
            self.miss(f"prefill of {tokens}", error)

    def start(self):
        """The second of two: the first one brings the weights into the page cache."""
        if not self.flags.model:
            return
        command = [self.flags.precis, "run", "-m", self.flags.model, "-p", "Once", "-n", "1", "-c", "4096"]
        command += ["--backend", self.flags.backend]
        try:
            for _ in range(2):
                began = time.perf_counter()
                run_program(command, self.flags.limit)
                self.found["start_seconds"] = time.perf_counter() - began
        except RunError as error:
            self.miss("start", error)

    def peer(self):
        python, flags = self.flags.python, self.flags
        probe = [python, "-c", "import torch, transformers"]
        if shutil.which(python) is None or subprocess.run(probe, capture_output=True, check=False).returncode != 0:
            return note(f"peer: {python} has no torch and transformers, left out")
        cases = PEER_CASES[:1] if flags.quick else PEER_CASES
        # A graph that torch fails to make may take the process with it: then once more, with graphs recorded by hand.
        for mode in ["auto", "graph"]:
            left = [case for case in cases if not self.peer_result(*case)]
            if not left:
                return
            command = [python, os.path.join(HERE, "peers", "transformers_decode.py"), "--config", flags.dense]
            command += ["--tokens", str(flags.tokens), "--repeat", str(flags.repeat), "--mode", mode]
            for batch, context in left:
                command += ["--case", f"{batch}x{context}"]
            try:
                output = run_program(command, flags.limit)
            except RunError as error:
                output = error.output
                note(f"peer: {error}")
            self.found["peer"] += [json.loads(line) for line in output.splitlines() if line.endswith("}")]
        for batch, context in cases:
            if not self.peer_result(batch, context):
                self.miss(f"peer {batch}x{context}", "no figure")

    def peer_result(self, batch, context):
        return peer_of(self.found, batch, context)


def peer_of(found, batch, context):
    for result in found["peer"]:
        if (result["batch"], result["context"]) == (batch, context) and "error" not in result:
            return result
    return None


def results_of(found, group):
    return found["precis"].get(group, {"results": []})["results"]


def result_of(found, group, depth=None):
    for result in results_of(found, group):
        if depth is None or result["depth"] == depth:
            return result
    return None


def milliseconds(result):
    """Of a step, in which each sequence gets a token."""
    return 1e3 * result["parallel"] / result["tokens_per_second"]["median"]


def shown_tokens(count):
    return f"{count:,}"


def gigabytes(count):
    return f"{count / 1e9:.2f} GB" if count >= 1e8 else f"{count / 1e6:.1f} MB"


def percent(share):
    return f"{100 * share:.1f} %"


def table(names, rows):
    lines = ["| " + " | ".join(names) + " |", "| --- " + "| ---: " * (len(names) - 1) + "|"]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows]) + "\n"


def machine(found):
    """What the machine was measured at: the best of all runs, for others may use it too."""
    reports = list(found["precis"].values())
    if not reports:
        return ""
    read = max(max(report["read_bandwidth_gbs"].values()) for report in reports)
    peak = max(report["peak_gflops"] for report in reports)
    return (
        f"{reports[0]['device']}, {found['date']}: memory is read at {read:,.0f} GB/s, products reach "
        f"{peak / 1e3:,.1f} TFLOP/s.\n"
    )


def context_table(found):
    depths = sorted({result["depth"] for group in ("dense", "ksa") for result in results_of(found, group)})
    if not depths:
        return ""
    rows = []
    for depth in depths:
        row = [shown_tokens(depth)]
        for group in ("dense", "ksa"):
            result = result_of(found, group, depth)
            if result is None:
                row += ["", "", "", ""]
                continue
            row += [f"{milliseconds(result):.2f}", f"{result['tokens_per_second']['median']:.1f}",
                    percent(result["share_of_bandwidth"]), gigabytes(result["kv_bytes"])]  # fmt: skip
        rows.append(row)
    side = ["ms", "tokens/s", "of memory", "K and V held"]
    return table(["context"] + [f"dense: {side[0]}", *side[1:]] + [f"KSA: {side[0]}", *side[1:]], rows)


def other_table(found):
    rows = []
    if batch := result_of(found, "batch"):
        name = f"{batch['parallel']} sequences behind {shown_tokens(batch['depth'])}, generation"
        rows.append([name, f"{batch['tokens_per_second']['median']:,.0f} tokens/s in all, {milliseconds(batch):.2f} ms",
                     percent(batch["share_of_bandwidth"]) + " of memory", gigabytes(batch["kv_bytes"])])  # fmt: skip
    if prefill := result_of(found, "prefill"):
        tokens = int(prefill["test"].removeprefix("pp"))
        seconds = tokens / prefill["tokens_per_second"]["median"]
        rows.append([f"KSA, a prompt of {shown_tokens(tokens)}", f"{seconds:.2f} s",
                     percent(prefill["share_of_peak"]) + " of products", gigabytes(prefill["kv_bytes"])])  # fmt: skip
    if "start_seconds" in found:
        rows.append(["process start to the end of a one-token answer", f"{found['start_seconds']:.2f} s", "", ""])
    return table(["what", "measured", "share", "K and V held"], rows) if rows else ""


def peer_table(found):
    rows = []
    for result in found["peer"]:
        if "error" in result:
            continue
        batch, context = result["batch"], result["context"]
        ours = result_of(found, "dense" if batch == 1 else "batch", context)
        if ours and ours["parallel"] != batch:
            ours = None
        rate = ours["tokens_per_second"]["median"] if ours else None
        rows.append([f"{batch} x {shown_tokens(context)}",
                     f"{milliseconds(ours):.2f} ms, {rate:,.0f} tokens/s" if ours else "",
                     f"{result['ms_per_token']:.2f} ms, {result['tokens_per_second']:,.0f} tokens/s",
                     f"{rate / result['tokens_per_second']:.2f}" if ours else ""])  # fmt: skip
    if not rows:
        return ""
    peer = found["peer"][0]
    modes = sorted({r["mode"] for r in found["peer"] if "mode" in r})
    versions = f"transformers {peer['transformers']}, torch {peer['torch']}"
    said = f"Peer: {versions}, static cache, SDPA, torch.compile ({', '.join(modes)}).\n\n"
    return said + table(["sequences x context", "Precis", "peer", "ratio"], rows)


def markdown(found):
    parts = [machine(found), context_table(found), other_table(found), peer_table(found)]
    return "\n".join(part for part in parts if part)


def whole(text):
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected an integer of 1 or more")
    return int(text)


def contexts(text):
    return sorted({whole(part) for part in text.split(",")})


def read_flags():
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    geometries = os.path.join(HERE, "geometries")
    built = os.path.join(HERE, "..", "build", "release", "bin", "precis")
    parser.add_argument("--precis", default=built, metavar="PROGRAM", help="default: build/release/bin/precis")
    parser.add_argument("--only", action="append", choices=GROUPS, metavar="GROUP", help="this group; repeatable")
    parser.add_argument("--quick", action="store_true", help="contexts of 1k and 32k, fewer tokens and repetitions")
    parser.add_argument("--limit", type=float, default=180, metavar="SECONDS", help="of each program (default 180)")
    parser.add_argument("--dense", default=os.path.join(geometries, "qwen3-4b"), metavar="DIR", help="dense geometry")
    parser.add_argument("--ksa", default=os.path.join(geometries, "ksa-4b"), metavar="DIR", help="KSA geometry")
    parser.add_argument("--contexts", type=contexts, metavar="LIST", help="tokens before what is generated: 1024,4096")
    parser.add_argument("--tokens", type=whole, metavar="N", help="generated by each sequence (default 64)")
    parser.add_argument("--repeat", type=whole, metavar="N", help="repetitions of generation (default 3)")
    parser.add_argument("--prompt", type=whole, default=131072, metavar="N", help="of the prefill (default 128k)")
    parser.add_argument("--sequences", type=whole, default=32, metavar="N", help="of the batch (default 32)")
    parser.add_argument("--batch-context", type=whole, default=2048, metavar="N", help="of each of them (default 2048)")
    parser.add_argument("--piece", type=whole, default=2048, metavar="N", help="prompt tokens a step (default 2048)")
    parser.add_argument("--backend", default="cuda", metavar="NAME", help="as of precis (default cuda)")
    parser.add_argument("--kv-cache-dtype", metavar="TYPE", help="as of precis")
    parser.add_argument("--deterministic", action="store_true", help="as of precis")
    parser.add_argument("--model", metavar="DIR", help="checkpoint for the time to start")
    parser.add_argument("--python", default=sys.executable, metavar="PROGRAM", help="a Python with torch, for the peer")
    parser.add_argument("--svg", metavar="FILE", help="write the plot there")
    parser.add_argument("--save", metavar="FILE", help="keep every figure as JSON")
    parser.add_argument("--from", dest="saved", metavar="FILE", help="measure nothing: tables and plot of a saved file")
    flags = parser.parse_args()
    flags.contexts = flags.contexts or (QUICK_CONTEXTS if flags.quick else CONTEXTS)
    flags.tokens = flags.tokens or (32 if flags.quick else 64)
    flags.repeat = flags.repeat or (2 if flags.quick else 3)
    if not flags.saved and shutil.which(flags.precis) is None:
        raise FlagError(f"--precis: no program {flags.precis}")
    return flags


def keep(flags, found):
    if flags.save:
        with open(flags.save, "w", encoding="utf-8") as file:
            json.dump(found, file, indent=1)


def main():
    flags = read_flags()
    if flags.saved:
        with open(flags.saved, encoding="utf-8") as file:
            found = json.load(file)
    else:
        measurement = Measurement(flags)
        found = measurement.found
        for group in flags.only or GROUPS:
            getattr(measurement, group)()
            keep(flags, found)  # each time: a later group may never end
    if flags.svg:
        series = {}
        for group, name in (("dense", "full attention"), ("ksa", "summary attention (KSA)")):
            series[name] = [(r["depth"], milliseconds(r), r["kv_bytes"] / 1e9) for r in results_of(found, group)]
        peer = [(r["context"], r["ms_per_token"], r["kv_bytes"] / 1e9) for r in found["peer"]
                if r["batch"] == 1 and "error" not in r]  # fmt: skip
        series["transformers (peer)"] = sorted(peer)
        with open(flags.svg, "w", encoding="utf-8") as file:
            file.write(gpu_plot.svg({name: points for name, points in series.items() if points}))
    sys.stdout.write(markdown(found))
    return 1 if found["missing"] else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (FlagError, OSError) as error:
        print(f"gpu_table: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
