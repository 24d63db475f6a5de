#!/usr/bin/env python3
"""bench.py: measures Gradus beside PyTorch, oneDNN and OpenBLAS, and prints one table.

Each side is a process of its own (worker.h) that waits until it is asked; they are asked in turn,
for a fraction of a second each, and this goes on for many rounds. A ratio is the median of their
times over the median of ours: above 1, Gradus is faster. What follows the ratio is half the
distance between the quartiles of the ratios of the single rounds. See README.md beside this
file."""

import argparse
import atexit
import collections
import csv
import datetime
import math
import os
import platform
import signal
import statistics
import subprocess
import sys

import shapes

HERE = os.path.dirname(os.path.abspath(__file__))
SECTIONS = ["train", "infer", "conv", "matmul", "nodes", "memory"]
DRAWN = ["sweep", "published"]  # measured on request alone, on one thread, in time of the processor

PEAK_FLOPS, READ_BYTES = 480e6, 2**26  # of a run of machine.c's "peak", and of its "read", a thread

# Big blocks come from the heap, and stay there: otherwise each step asks the system for its memory
# again.
MALLOC = {"MALLOC_MMAP_THRESHOLD_": "33554432", "MALLOC_TRIM_THRESHOLD_": "4294967296",
    "MALLOC_TOP_PAD_": "67108864"}

TRAINING = [  # name, case, multiply-adds of a step, rounds, seconds of a turn
    ("LeNet-5 step, batch 64, SGD", "lenet", 64 * (2 * 117600 + 3 * 240000 + 3 * 58920), 15, 0.1),
    ("small VGG step, batch 64, Adam", "vgg",
        64 * (2 * 884736 + 3 * (3 * 9437184 + 2 * 4718592 + 526848)), 7, 0.5),
    ("ResNet-20 step, batch 128, SGD", "resnet20", 128 * (2 * 442368 + 3 * 40108672), 5, 0.5),
    ("MLP 2-16-16-1 step, batch 4, SGD", "mlp", None, 15, 0.03),
]
INFERENCE = [("LeNet-5 inference, batch 1", 1, 15, 0.03),
    ("LeNet-5 inference, batch 256", 256, 15, 0.1)]

Conv = shapes.Conv
CONVS = [
    Conv(1, 28, 6, 5, 1, 2), Conv(6, 14, 16, 5, 1, 0), Conv(3, 32, 32, 3, 1, 1),
    Conv(32, 32, 32, 3, 1, 1), Conv(64, 16, 64, 3, 1, 1), Conv(128, 8, 128, 3, 1, 1),
    Conv(16, 32, 16, 3, 1, 1), Conv(32, 32, 64, 3, 2, 1), Conv(64, 56, 64, 3, 1, 1),
    Conv(256, 14, 256, 3, 1, 1), Conv(64, 56, 256, 1, 1, 0), Conv(3, 224, 64, 7, 2, 3),
    Conv(64, 32, 64, 3, 1, 1, G=64), Conv(32, 32, 32, 3, 1, 2, D=2),
]
DIRECTIONS = [("forward", "forward"), ("input", "(34)"), ("kernel", "(35)")]
IMAGES = 32

# M, N, K
PRODUCTS = [(n, n, n) for n in (64, 128, 256, 512, 1024, 2048)] + [(64, 120, 400), (64, 256, 2048)]

# One line of the table. limit: seconds that the machine's peak would take; others: the times of
# each round, by the peer's name.
Row = collections.namedtuple("Row", "work threads ours limit others")


# ---- workers ----


class Worker:
    """A process that measures on request; see worker.h. It is stopped between its turns: the
    threads of OpenMP and of OpenBLAS go on spinning for 15 to 25 ms after their work, and would
    take a processor from whoever comes next."""

    def __init__(self, command, threads, environment=None):
        env = {name: value for name, value in os.environ.items()
            if not name.startswith("OPENBLAS_")}  # it knows its processor best by itself
        env.update(OMP_NUM_THREADS=str(threads), OPENBLAS_NUM_THREADS=str(threads),
            OMP_PROC_BIND="true")
        env.update(environment or {})
        cores = sorted(os.sched_getaffinity(0))[:threads]
        self.process = subprocess.Popen(
            command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            preexec_fn=lambda: os.sched_setaffinity(0, cores))
        atexit.register(self.process.kill)  # a stopped process would not notice our end

    def ask(self, line):
        """The words of the answer; None where the worker has none to give."""
        self.process.send_signal(signal.SIGCONT)
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        words = self.process.stdout.readline().split()
        self.process.send_signal(signal.SIGSTOP)
        if not words:
            sys.exit(f"bench: {self.process.args[0]} ended at: {line}")
        return None if words[0] == "none" else [float(w) for w in words]

    def close(self):
        self.process.send_signal(signal.SIGCONT)
        self.process.stdin.close()
        self.process.wait()


class Bench:
    """What there is to measure with, on so many threads; workers are started when they are first
    asked."""

    def __init__(self, build, threads, clock="wall"):
        self.threads, self.workers, self.peak, self.clock = threads, {}, 0, clock
        program = lambda name: [os.path.join(build, "bench", name)]
        torch = [sys.executable, os.path.join(HERE, "torch_worker.py")]
        self.commands = {
            "Gradus": (program("gradus"), None),
            "machine": (program("machine"), None),
            "PyTorch": (torch + ["default"], None),
            "PyTorch, best": (torch + ["best"], MALLOC),
            "oneDNN": (program("onednn"), None),
            "OpenBLAS": (program("openblas"), None),
        }

    def start(self, name):
        if name.startswith("Gradus "):  # an algorithm for convolutions; "" is the usual choice
            command = self.commands["Gradus"][0]
            environment = {"GRADUS_CONV": name.removeprefix("Gradus ")}
        else:
            command, environment = self.commands[name]
        return Worker(command, self.threads, dict(environment or {}, BENCH_CLOCK=self.clock))

    def ask(self, name, line):
        if name not in self.workers:
            self.workers[name] = self.start(name)
        return self.workers[name].ask(line)

    def close(self):
        for worker in self.workers.values():
            worker.close()


def missing(build):
    """What is not installed, and so is skipped."""
    result = set()
    for name, program in (("oneDNN", "onednn"), ("OpenBLAS", "openblas")):
        if not os.access(os.path.join(build, "bench", program), os.X_OK):
            result.add(name)
    if subprocess.run([sys.executable, "-c", "import torch"], stderr=subprocess.DEVNULL).returncode:
        result |= {"PyTorch", "PyTorch, best"}
    return result


# ---- measuring ----


def compare(bench, work, multiply_adds, sides, rounds, seconds):
    """sides: {column: (worker, case)}, ours first; without those that cannot do it. The peak is
    taken in the same rounds."""
    first, seen = {}, None
    for column, (worker, case) in sides.items():
        answer = bench.ask(worker, f"{case} 0")
        if answer is None:
            continue
        first[column] = answer
        if answer[2]:
            seen = seen or answer
            if max(abs(answer[1] - seen[1]), abs(answer[2] - seen[2])) > 1e-4 * seen[2]:
                print(f"bench: {work}: {column} computes something else", file=sys.stderr)
    if "Gradus" not in first:
        print(f"bench: {work}: not done by Gradus", file=sys.stderr)
        return None
    times = {column: [] for column in first}
    for turn in range(rounds):
        order = list(first)
        order = order[turn % len(order):] + order[:turn % len(order)]
        if multiply_adds:
            bench.peak = max(bench.peak, PEAK_FLOPS * bench.threads
                / bench.ask("machine", "peak 0")[0])
        for column in order:
            worker, case = sides[column]
            times[column].append(bench.ask(worker, f"{case} {seconds}")[0])
    limit = multiply_adds and 2 * multiply_adds / bench.peak
    row = Row(work, bench.threads, times.pop("Gradus"), limit, times)
    print(f"  {line_of(row, list(times))}", file=sys.stderr, flush=True)
    return row


def torch_sides(case, skip):
    sides = {"Gradus": ("Gradus", case), "PyTorch": ("PyTorch", case),
        "PyTorch, best": ("PyTorch, best", case)}
    return {column: side for column, side in sides.items() if column not in skip}


def train(bench, skip):
    for work, case, multiply_adds, rounds, seconds in TRAINING:
        yield compare(bench, work, multiply_adds, torch_sides(f"train:{case}", skip), rounds,
            seconds)


def infer(bench, skip):
    for work, batch, rounds, seconds in INFERENCE:
        yield compare(bench, work, batch * (117600 + 240000 + 58920),
            torch_sides(f"infer:lenet:{batch}", skip), rounds, seconds)


def conv_name(c):
    extra = "".join(f" {word}" for word in (f"stride {c.S}" if c.S > 1 else "",
        f"dilation {c.D}" if c.D > 1 else "") if word)
    groups = "" if c.G == 1 else " depthwise" if c.G == c.C else f" groups {c.G}"
    return f"{c.C},{c.H} -> {c.F} k{c.K} pad {c.P}{extra}{groups}"


def conv(bench, skip):
    for c in CONVS:
        numbers = ",".join(map(str, (IMAGES, *c)))
        multiply_adds = shapes.products(IMAGES, c)
        for direction, equation in DIRECTIONS:
            sides = {"Gradus": ("Gradus", f"conv:{direction}:{numbers}")}
            if "oneDNN" not in skip:
                for column, how in (("NCHW", "plain"), ("best layout", "best"),
                        ("Winograd", "winograd")):
                    sides[column] = ("oneDNN", f"{how}:{direction}:{numbers}")
            yield compare(bench, f"{conv_name(c)} {equation}", multiply_adds, sides, 7, 0.03)


def layers(bench, cases, skip, quick):
    """Rows of convolutions beside PyTorch in its better layout and oneDNN, by (batch class,
    direction)."""
    rounds, seconds = (3, 0.002) if quick else (7, 0.01)
    rows = {}
    for n, c in cases:
        numbers = ",".join(map(str, (n, *c)))
        for direction, equation in DIRECTIONS:
            case = f"conv:{direction}:{numbers}"
            sides = {"Gradus": ("Gradus", case), "PyTorch, best": ("PyTorch, best", case)}
            for column, how in (("NCHW", "plain"), ("best layout", "best")):
                sides[column] = ("oneDNN", f"{how}:{direction}:{numbers}")
            sides = {column: (worker, case) for column, (worker, case) in sides.items()
                if worker not in skip}
            row = compare(bench, f"{n} x {conv_name(c)} {equation}", shapes.products(n, c), sides,
                rounds, seconds)
            if row:
                rows.setdefault((batch_class(n), direction), []).append(row)
    return rows


def batch_class(n):
    return "1" if n == 1 else "2 to 7" if n < 8 else "8 to 31" if n < 32 else "32 to 64"


def layers_table(rows):
    """A line for each class of batches and direction, and for all: over PyTorch the geometric mean
    and the shares of rows under 1 and under 0.8, over oneDNN the geometric means."""
    lines = [["batch", "direction", "rows", "over PyTorch", "under 1.0", "under 0.8", "over NCHW",
        "over best layout"]]
    names = [("1", "2 to 7", "8 to 31", "32 to 64"), [d for d, _ in DIRECTIONS]]
    groups = [((batch, d), rows[batch, d]) for batch in names[0] for d in names[1]
        if (batch, d) in rows]
    groups += [(("all", d), [row for (_, of), some in rows.items() if of == d for row in some])
        for d in names[1]]
    groups.append((("all", "all"), [row for some in rows.values() for row in some]))
    for (batch, d), some in groups:
        ratios = {column: [ratio_of(row, column) for row in some if column in row.others]
            for column in ("PyTorch, best", "NCHW", "best layout")}
        mean = {column: f"{statistics.geometric_mean(of):.2f}" if of else "-"
            for column, of in ratios.items()}
        torch = ratios["PyTorch, best"]
        under = [f"{100 * sum(x < limit for x in torch) / len(torch):.0f} %" if torch else "-"
            for limit in (1, 0.8)]
        lines.append([batch, d, str(len(some)), mean["PyTorch, best"], *under, mean["NCHW"],
            mean["best layout"]])
    return lines


def worst_table(rows, count=10):
    every = [row for some in rows.values() for row in some if "PyTorch, best" in row.others]
    every.sort(key=lambda row: ratio_of(row, "PyTorch, best"))
    columns = ["PyTorch, best", "NCHW", "best layout"]
    return [["the slowest", "Gradus", "of the peak", *columns]] + [
        [row.work, quantity("", statistics.median(row.ours)), reached(row),
            *(cell(row, column) for column in columns)] for row in every[:count]]


def measure_layers(options):
    """The sections of DRAWN, which have tables of their own."""
    skip = missing(options.build)
    for section in options.sections:
        cases = (shapes.at_random(options.seed, options.shapes) if section == "sweep"
            else shapes.published()[::3 if options.quick else 1])
        bench = Bench(options.build, 1, "processor")
        rows = layers(bench, cases, skip, options.quick)
        bench.close()
        title = (f"{len(cases)} convolutions drawn at random, seed {options.seed}"
            if section == "sweep" else f"{len(cases)} layers of published networks")
        tables = [layers_table(rows), worst_table(rows)]
        print(f"\n{title}, one thread, {processor()}\n")
        print("\n\n".join(map(text, tables)))
        if options.output:
            with open(options.output, "w", encoding="utf-8") as f:
                f.write(f"### {title}\n\n" + "\n\n".join(map(markdown, tables)) + "\n")


def algorithms(bench, build, rounds=7, seconds=0.03):
    """Rows of the time in seconds of each algorithm that can compute a convolution, the usual one
    first and marked."""
    for c in CONVS:
        numbers = ",".join(map(str, (IMAGES, *c)))
        for direction, _ in DIRECTIONS:
            case = f"conv:{direction}:{numbers}"
            program = [os.path.join(build, "bench", "algorithms"), case.removeprefix("conv:")]
            ran = subprocess.run(program, check=True, text=True, capture_output=True)
            names = ran.stdout.split()
            times = {name: [] for name in ["", *names]}
            for turn in range(rounds):
                for name in times:
                    time = bench.ask(f"Gradus {name}", f"{case} {seconds}")[0]
                    times[name].append(time)
            for name in times:
                median = statistics.median(times[name])
                yield (name or f"usual: {names[0]}", conv_name(c), direction, bench.threads,
                    median)


def matmul(bench, skip):
    for M, N, K in PRODUCTS:
        for ta, tb in ((0, 0), (0, 1), (1, 0)):
            case = f"matmul:{M},{K},{N},{ta},{tb}"
            sides = {"Gradus": ("Gradus", case)}
            if "OpenBLAS" not in skip:
                sides["OpenBLAS"] = ("OpenBLAS", case)
            yield compare(bench, f"{M}x{K}{'^T' * ta} {K}x{N}{'^T' * tb}", M * N * K, sides, 7,
                0.03)


def nodes(bench, skip):
    if bench.threads > 1:
        return
    for kind, work in (("unrecorded", "not recorded"), ("recorded", "recorded"),
            ("backward", "recorded, and its backward")):
        sides = {column: side for column, side in torch_sides(f"nodes:{kind}", skip).items()
            if column != "PyTorch, best"}
        yield compare(bench, f"1000 additions of 4 numbers, {work}", None, sides, 11, 0.03)


def memory(bench, skip):
    """Not a time: the most bytes resident while training on one batch, each in a fresh process."""
    if bench.threads > 1:
        return
    for work, case in (("LeNet-5 training", "train:lenet"), ("small VGG training", "train:vgg")):
        peak = {}
        for name in ("Gradus", "PyTorch"):
            if name in skip:
                continue
            worker = bench.start(name)
            worker.ask(f"{case} 0.5")
            peak[name] = worker.ask("memory")
            worker.close()
        yield Row(work, 1, peak.pop("Gradus"), None, peak)


# ---- printing ----


def quantity(section, x):
    if section == "memory":
        return f"{x / 1e6:.0f} MB"
    for unit, scale in (("s", 1), ("ms", 1e3), ("us", 1e6)):
        if x * scale >= 1 or unit == "us":
            return f"{x * scale:.3g} {unit}" if x * scale < 1000 else f"{x * scale:.0f} {unit}"


def ratio_of(row, column):
    return statistics.median(row.others[column]) / statistics.median(row.ours)


def cell(row, column):
    if column not in row.others:
        return "-"
    if len(row.ours) < 3:
        return f"{ratio_of(row, column):.2f}"
    single = statistics.quantiles([theirs / ours
        for theirs, ours in zip(row.others[column], row.ours)], n=4)
    return f"{ratio_of(row, column):.2f} ±{(single[2] - single[0]) / 2:.2f}"


def reached(row):
    return f"{100 * row.limit / statistics.median(row.ours):.0f} %" if row.limit else "-"


def line_of(row, columns):
    ours = quantity("", statistics.median(row.ours))
    return f"{row.work}, {row.threads} thr.: {ours} {reached(row)}  " + "  ".join(
        f"{c} {cell(row, c)}" for c in columns)


def summary(rows, columns):
    """The geometric mean of each column, and its least, for each number of threads."""
    for threads in sorted({row.threads for row in rows}):
        for word, of in (("geometric mean", statistics.geometric_mean), ("least", min)):
            cells = []
            for column in columns:
                ratios = [ratio_of(row, column) for row in rows if row.threads == threads
                    and column in row.others]
                cells.append(f"{of(ratios):.2f}" if ratios else "-")
            yield [word, str(threads), "", "", *cells]


def scaling(rows):
    """How much faster each work is on two threads than on one, as text by the work."""
    alone = {row.work: statistics.median(row.ours) for row in rows if row.threads == 1}
    return {row.work: f"{alone[row.work] / statistics.median(row.ours):.2f}" for row in rows
        if row.threads > 1 and row.work in alone}


TITLES = {
    "train": "Training steps", "infer": "Inference",
    "conv": f"Single convolutions, {IMAGES} images, against oneDNN",
    "matmul": "Products of matrices", "nodes": "The cost of an operation",
    "memory": "Peak resident memory",
}


def table_of(section, rows):
    columns = []
    for row in rows:
        columns += [c for c in row.others if c not in columns]
    lines = [["work", "threads", "Gradus", "of the peak", *columns]]
    for row in rows:
        lines.append([row.work, str(row.threads), quantity(section, statistics.median(row.ours)),
            reached(row), *(cell(row, c) for c in columns)])
    if section in ("conv", "matmul"):
        lines += summary(rows, columns)
    faster = scaling(rows)
    if faster:
        lines[0].append("over 1 thread")
        for line in lines[1:]:
            line.append(faster.get(line[0], "") if line[1] != "1" else "")
    return lines


def text(lines):
    widths = [max(map(len, column)) for column in zip(*lines)]
    return "\n".join("  ".join([line[0].ljust(widths[0])] + [w.rjust(n)
        for w, n in zip(line[1:], widths[1:])]).rstrip() for line in lines)


def markdown(lines):
    rows = ["| " + " | ".join(line) + " |" for line in lines]
    return "\n".join([rows[0], "| --- |" + " ---: |" * (len(lines[0]) - 1), *rows[1:]])


def processor():
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        fields = dict((part.strip() for part in line.split(":", 1)) for line in f if ":" in line)
    known = [isa for isa in ("avx2", "avx512f", "amx_tile", "asimd")
        if isa in fields.get("flags", fields.get("Features", "")).split()]
    name = fields.get("model name", platform.machine())
    family, model = fields.get("cpu family", "?"), fields.get("model", "?")
    return f"{name} (family {family}, model {model}; {', '.join(known)})"


def machine_of(build, counts):
    """The machine in words, with what it can do at all."""
    lines = [
        f"{datetime.date.today()}, {processor()}, {os.cpu_count()} processors, "
        f"load {os.getloadavg()[0]:.1f} at the end."]
    for threads in counts:
        bench = Bench(build, threads)
        ask = lambda case: min(bench.ask("machine", f"{case} 0.05")[0] for _ in range(5))
        gigaflops, near, far = (PEAK_FLOPS / ask("peak"), READ_BYTES / ask(f"read:{2**19}"),
            READ_BYTES / ask(f"read:{2**26}"))
        lines.append(
            f"{threads} thread{'s' * (threads > 1)}: {threads * gigaflops / 1e9:.0f} GFLOP/s "
            f"by independent multiply-adds; reads {threads * near / 1e9:.0f} GB/s from 512 KiB, "
            f"{threads * far / 1e9:.0f} GB/s from 64 MiB a thread.")
        bench.close()
    return lines


def main():
    parser = argparse.ArgumentParser(
        description="Measures Gradus beside PyTorch, oneDNN and OpenBLAS.")
    parser.add_argument("sections", nargs="*", metavar="SECTION",
        help=f"what to measure, of: {' '.join(SECTIONS)} (default: these), "
        f"{' '.join(DRAWN)}")
    parser.add_argument("--build", default=".", help="where the build is")
    parser.add_argument("--output", help="a file for the table as markdown")
    parser.add_argument("--threads", default="1,2",
        help="numbers of threads, with commas between them")
    parser.add_argument("--csv", metavar="FILE",
        help="with the section conv alone: a file for the times of each algorithm of convolution")
    parser.add_argument("--seed", type=int, default=1, help="of the shapes of sweep")
    parser.add_argument("--shapes", type=int, default=100, help="how many of them")
    parser.add_argument("--quick", action="store_true",
        help="sweep and published: short times, and a third of the published layers")
    options = parser.parse_args()
    for section in options.sections:
        if section not in SECTIONS + DRAWN:
            parser.error(f"no such section: {section}; there are {' '.join(SECTIONS + DRAWN)}")
    if options.shapes < 1:
        parser.error("--shapes is at least 1")
    drawn = [section for section in options.sections if section in DRAWN]
    if drawn and drawn != options.sections:
        parser.error(f"{' and '.join(drawn)}: not together with other sections")
    if drawn:
        measure_layers(options)
        return
    processors = len(os.sched_getaffinity(0))
    counts = [n for n in map(int, options.threads.split(",")) if n <= processors]

    if options.csv:
        if options.sections != ["conv"]:
            parser.error("--csv goes with the section conv alone")
        with open(options.csv, "w", encoding="utf-8", newline="") as f:
            rows = csv.writer(f)
            rows.writerow(["algorithm", "shape", "direction", "threads", "seconds"])
            for threads in counts:
                bench = Bench(options.build, threads)
                rows.writerows(algorithms(bench, options.build))
                bench.close()
        return

    skip = missing(options.build)
    for name in sorted(skip):
        print(f"bench: {name} is not installed: skipped", file=sys.stderr)
    tables = {}
    for threads in counts:
        bench = Bench(options.build, threads)
        for section in options.sections or SECTIONS:
            tables.setdefault(section, []).extend(row for row in globals()[section](bench, skip)
                if row)
        bench.close()

    notes = machine_of(options.build, counts)
    tables = {section: table_of(section, rows) for section, rows in tables.items() if rows}
    print("\n".join(notes))
    for section, lines in tables.items():
        print(f"\n{TITLES[section]}\n\n{text(lines)}")
    if options.output:
        with open(options.output, "w", encoding="utf-8") as f:
            f.write("\n".join(notes) + "\n")
            for section, lines in tables.items():
                f.write(f"\n### {TITLES[section]}\n\n{markdown(lines)}\n")


if __name__ == "__main__":
    main()
