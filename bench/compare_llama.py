#!/usr/bin/env python3
"""Runs `precis bench` and llama-bench in turns on the same case and prints one row of a markdown table.

A row says, for each of the two, the slowest, median and fastest run in tokens/s, and the ratio of the medians: above 1
Precis is faster. They take turns because a shared machine's memory and cores are not equally fast from one minute to the
next: only runs that lie side by side can be compared. On a machine where anything else runs, llama-bench's threads,
which wait for one another by spinning, become many times slower; look at the spread before you trust a row.

Behind a depth llama-bench runs once for all turns, as it keeps the depth from one repetition to the next, and waits while
others run. --llama-flags may be given several times: each takes its turn, and the row shows the fastest.

Exit codes: 0 done, 1 one of the two failed, 2 a flag is wrong.
"""

import argparse
import fcntl
import glob
import json
import os
import re
import select
import shlex
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

EXAMPLE = """example:
  compare_llama.py --precis build/release/bin/precis --geometry bench/geometries/qwen3-0.6b \\
    --llama-bench llama-bench --gguf qwen3-0.6b-q8_0.gguf --weights q8 -n 128 -d 4096 -t 2 --llama-flags='-fa 0' --llama-flags='-fa 1'
"""


class FlagError(Exception):
    """A flag is wrong: exit code 2."""


class RunError(Exception):
    """One of the two programs failed: exit code 1."""


def run_json(command):
    """Standard output of a program, parsed."""
    shown = shlex.join(command)
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    except OSError as error:
        raise RunError(f"{shown}: {error.strerror}") from error
    if done.returncode != 0:
        said = done.stderr.strip().splitlines()
        raise RunError(f"{shown}: exit code {done.returncode}: {said[-1] if said else 'no message'}")
    try:
        return json.loads(done.stdout)
    except ValueError as error:
        raise RunError(f"{shown}: its output is not JSON: {error}") from error


def only_rate(command, results, read):
    """Tokens/s of the single result, read by `read`; anything but one positive number is an error."""
    try:
        (result,) = results
        rate = float(read(result))
    except (KeyError, TypeError, ValueError, IndexError) as error:  # no such field, or not of that kind
        raise RunError(f"{shlex.join(command)}: expected one result with its tokens per second") from error
    if not rate > 0:
        raise RunError(f"{shlex.join(command)}: found {rate} tokens per second, expected more than 0")
    return rate


def case_flags(flags):
    return ["-p", str(flags.prompt), "-n", str(flags.predict), "-d", str(flags.depth)]


def precis_rate(flags):
    command = [flags.precis, "bench", "--dummy", flags.geometry, *case_flags(flags)]
    command += ["-r", "1", "-t", str(flags.threads), "--json"]
    if flags.weights:
        command += ["--weights", flags.weights]
    command += shlex.split(flags.precis_flags)
    found = run_json(command)
    test = f"pp{flags.prompt}" if flags.prompt else f"tg{flags.predict}"
    results = found.get("results") if isinstance(found, dict) else None

    def read(result):
        if result["test"] != test or result["depth"] != flags.depth:
            raise RunError(f"{shlex.join(command)}: found a result for another case, expected {test}")
        return result["tokens_per_second"]["samples"][0]

    return only_rate(command, results, read)


NEVER = "(?!)"  # an expression that nothing matches


class Doorway:
    """Standard error of a llama-bench with --progress. Its messages before a repetition are outside the time that it tells;
    a pipe that is full holds it there, waiting to write, until the next turn."""

    BYTES = 4096  # the least that a pipe can hold

    def __init__(self):
        self.reader, self.writer = os.pipe()
        fcntl.fcntl(self.writer, fcntl.F_SETPIPE_SZ, self.BYTES)
        if fcntl.fcntl(self.writer, fcntl.F_GETPIPE_SZ) != self.BYTES:
            raise RunError(f"a pipe of {self.BYTES} bytes: the system gives larger ones only")
        self.last = ""  # the last message, for an error
        self.part = ""

    def shut(self):
        os.write(self.writer, b"\n" * self.BYTES)

    def read(self, process, until):
        """Takes messages, and with them what shut() wrote, up to one that matches; False where the process ended."""
        while True:
            if select.select([self.reader], [], [], 0.1)[0]:
                self.part += os.read(self.reader, self.BYTES).decode(errors="replace")
                *lines, self.part = self.part.split("\n")
                self.last = next((line for line in reversed(lines) if line.strip()), self.last)
                if any(re.search(until, line) for line in lines):
                    return True
            elif process.poll() is not None:
                return False

    def close(self):
        os.close(self.reader)
        os.close(self.writer)


def cpu_ticks(process):
    """Clock ticks that all processes of a session have used: what was started may be a script around the program."""
    ticks = 0
    for path in glob.glob("/proc/[0-9]*/stat"):
        try:
            with open(path, encoding="ascii", errors="replace") as file:
                fields = file.read().rpartition(")")[2].split()
        except OSError:  # it ended
            continue
        if int(fields[3]) == process.pid:
            ticks += int(fields[11]) + int(fields[12])
    return ticks


def wait_until_idle(process):
    """Returns when a process has used no processor for a while, or ended."""
    used = -1
    while process.poll() is None:
        now = cpu_ticks(process)
        if now == used:
            return
        used = now
        time.sleep(0.3)


class LlamaBench:
    """llama-bench with some flags. It takes a turn at each call of turn(); rates() tells of all turns at the end."""

    def __init__(self, flags, more, turns):
        self.name = more
        self.turns = turns
        self.at_once = flags.depth > 0  # one process for all turns
        self.kind = "prompt" if flags.prompt else "generation"
        self.command = [flags.llama_bench, "-m", flags.gguf, *case_flags(flags)]
        self.command += ["-t", str(flags.threads), "-o", "json", *shlex.split(more)]
        self.command += ["-r", str(turns), "--progress"] if self.at_once else ["-r", "1"]
        self.done = []
        self.taken = 0
        self.process = None
        self.output = None
        self.door = None

    def turn(self):
        self.taken += 1
        if not self.at_once:
            self.done.append(only_rate(self.command, run_json(self.command), lambda result: result["avg_ts"]))
            return
        if self.process is None:
            self.start()
        if not self.door.read(self.process, f"{self.kind} run {self.taken}/{self.turns}"):
            raise RunError(f"{shlex.join(self.command)}: ended before turn {self.taken}: {self.door.last or 'no message'}")
        if self.taken < self.turns:
            self.door.shut()
            wait_until_idle(self.process)
            return
        self.door.read(self.process, NEVER)  # to its end: what it still says must not fill the pipe
        if self.process.wait() != 0:
            raise RunError(f"{shlex.join(self.command)}: exit code {self.process.returncode}: {self.door.last}")

    def start(self):
        self.output = tempfile.TemporaryFile("w+")
        self.door = Doorway()
        try:  # a session of its own: --llama-bench may be a script around the program
            self.process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=self.output, stderr=self.door.writer, start_new_session=True
            )
        except OSError as error:
            raise RunError(f"{shlex.join(self.command)}: {error.strerror}") from error

    def rates(self):
        if not self.at_once:
            return self.done
        self.output.seek(0)
        try:
            (result,) = json.load(self.output)
            found = [float(rate) for rate in result["samples_ts"]]
        except (KeyError, TypeError, ValueError) as error:
            raise RunError(f"{shlex.join(self.command)}: expected one result with its samples") from error
        if len(found) != self.turns or min(found) <= 0:
            raise RunError(f"{shlex.join(self.command)}: found samples {found}, expected {self.turns} above 0")
        return found

    def close(self):
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        for held in (self.door, self.output):
            if held is not None:
                held.close()


def shown_rates(rates):
    low, middle, high = min(rates), statistics.median(rates), max(rates)
    digits = 0 if middle >= 1000 else 1 if middle >= 10 else 2
    return f"{low:.{digits}f} / {middle:.{digits}f} / {high:.{digits}f}"


def stem(path):
    """What a model is called: its file, or the folder that its config.json lies in."""
    path = os.path.abspath(path)
    if os.path.basename(path) == "config.json":
        path = os.path.dirname(path)
    return os.path.basename(path).removesuffix(".gguf")


def row(flags, ours, peer, theirs):
    test = f"pp{flags.prompt}" if flags.prompt else f"tg{flags.predict}"
    cells = [
        f"{stem(flags.geometry)}{' ' + flags.weights if flags.weights else ''}",
        f"{stem(flags.gguf)}{' ' + peer if peer else ''}",
        f"{test} @ d{flags.depth}" if flags.depth else test,
        str(flags.threads),
        shown_rates(ours),
        shown_rates(theirs),
        f"{statistics.median(ours) / statistics.median(theirs):.2f}",
    ]
    return f"| {' | '.join(cells)} |"


def print_header(flags):
    print(f"| Precis | llama-bench | test | threads | Precis, tokens/s | {flags.peer}, tokens/s | ratio |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: |")


def whole(least):
    def read(text):
        value = int(text)
        if value < least:
            raise argparse.ArgumentTypeError(f"found {value}, expected {least} or more")
        return value

    read.__name__ = "integer"
    return read


def read_flags():
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--precis", required=True, metavar="PROGRAM", help="the precis program")
    parser.add_argument("--llama-bench", required=True, metavar="PROGRAM", help="the llama-bench program")
    parser.add_argument("--geometry", required=True, metavar="DIR", help="config.json that Precis runs, or its folder")
    parser.add_argument("--gguf", required=True, metavar="FILE", help="model that llama-bench runs")
    parser.add_argument("-p", "--prompt", type=whole(0), default=0, metavar="TOKENS", help="read a prompt, or")
    parser.add_argument("-n", "--predict", type=whole(0), default=0, metavar="TOKENS", help="generate tokens")
    parser.add_argument("-d", "--depth", type=whole(0), default=0, metavar="TOKENS", help="tokens before that")
    parser.add_argument("-t", "--threads", type=whole(1), default=os.cpu_count(), help="of both (default: all cores)")
    parser.add_argument("--weights", default="", metavar="TYPE", help="passed on to precis bench, such as q8 or q4")
    parser.add_argument("--precis-flags", default="", metavar="FLAGS", help="more flags for precis bench")
    parser.add_argument(
        "--llama-flags", action="append", metavar="FLAGS", help="more flags for llama-bench, such as '-fa 1'; may repeat"
    )
    parser.add_argument("--peer", default="llama-bench", metavar="NAME", help="what the header calls llama-bench")
    parser.add_argument("-r", "--repeats", type=whole(1), default=5, metavar="N", help="turns of each (default: 5)")
    parser.add_argument("--header", action="store_true", help="print the table's header first")
    flags = parser.parse_args()
    check(flags)
    return flags


def check(flags):
    if (flags.prompt > 0) == (flags.predict > 0):
        raise FlagError("--prompt, --predict: expected one of the two, more than 0")
    for name, program in (("--precis", flags.precis), ("--llama-bench", flags.llama_bench)):
        if shutil.which(program) is None:
            raise FlagError(f"{name}: no program {program}")
    for name, path in (("--geometry", flags.geometry), ("--gguf", flags.gguf)):
        if not os.path.exists(path):
            raise FlagError(f"{name}: no file {path}")


def take_turns(flags, peers):
    """Rates of Precis; the peers keep theirs."""
    ours = []
    for turn in range(flags.repeats):
        if sys.stderr.isatty():
            print(f"\rturn {turn + 1} of {flags.repeats}", end="", file=sys.stderr, flush=True)
        ours.append(precis_rate(flags))
        for peer in peers:
            peer.turn()
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr, flush=True)
    return ours


def main():
    flags = read_flags()
    peers = [LlamaBench(flags, more, flags.repeats) for more in flags.llama_flags or [""]]
    try:
        ours = take_turns(flags, peers)
        rates = [(peer.name, peer.rates()) for peer in peers]
    finally:
        for peer in peers:
            peer.close()
    name, theirs = max(rates, key=lambda found: statistics.median(found[1]))
    if flags.header:
        print_header(flags)
    print(row(flags, ours, name, theirs))
    for other, slower in rates:
        if other != name:
            print(f"llama-bench {other}: {shown_rates(slower)} tokens/s", file=sys.stderr)


if __name__ == "__main__":
    try:
        main()
    except (FlagError, RunError) as error:
        print(f"compare_llama: {error}", file=sys.stderr)
        sys.exit(2 if isinstance(error, FlagError) else 1)
    except KeyboardInterrupt:
        sys.exit(130)
