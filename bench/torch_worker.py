#!/usr/bin/env python3
"""The worker that runs PyTorch, eager. It speaks as worker.h says. Its argument is how: "default",
which is what one gets by writing the obvious program, or "best": for each thing, the fastest of
{NCHW, channels_last} x {plain, foreach optimiser}, found by trying them."""

import os
import statistics
import sys
import time

import torch
from torch import nn
from torch.nn import functional as F


class LeNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 6, 5, padding=2), nn.Conv2d(6, 16, 5)
        self.fc1, self.fc2, self.fc3 = nn.Linear(400, 120), nn.Linear(120, 84), nn.Linear(84, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        return self.fc3(F.relu(self.fc2(F.relu(self.fc1(torch.flatten(x, 1))))))


def vgg():
    layers, channels = [], 3
    for stage in range(3):
        for _ in range(2):
            layers += [nn.Conv2d(channels, 32 << stage, 3, padding=1), nn.ReLU()]
            channels = 32 << stage
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(2048, 256), nn.ReLU(), nn.Linear(256, 10))


class Block(nn.Module):
    def __init__(self, channels, filters, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, filters, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(filters)
        self.conv2 = nn.Conv2d(filters, filters, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(filters)
        self.stride, self.extra = stride, filters - channels

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.extra:
            x = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.extra))
        return F.relu(x + y)


def resnet20():
    layers, channels = [nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()], 16
    for filters in (16, 32, 64):
        for block in range(3):
            layers.append(Block(channels, filters, 2 if filters > 16 and block == 0 else 1))
            channels = filters
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


def mlp():
    return nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 16), nn.Tanh(),
        nn.Linear(16, 1))


def training(name, last, foreach):
    """A step; the loss is read, as gr_minimize returns it. The rates are as small as in gradus.c,
    and for the same reason."""
    if name == "mlp":
        net, x, target, loss_of = mlp(), torch.randn(4, 2), torch.randn(4, 1), F.mse_loss
        optimiser = torch.optim.SGD(net.parameters(), lr=1e-4, foreach=foreach)
    else:
        net, batch, channels, size = {"lenet": (LeNet, 64, 1, 28), "vgg": (vgg, 64, 3, 32),
            "resnet20": (resnet20, 128, 3, 32)}[name]
        net, x = net(), torch.randn(batch, channels, size, size)
        target, loss_of = torch.arange(batch) * 7 % 10, F.cross_entropy
        if last:
            net = net.to(memory_format=torch.channels_last)
            x = x.to(memory_format=torch.channels_last)
        if name == "vgg":
            optimiser = torch.optim.Adam(net.parameters(), lr=1e-6, foreach=foreach)
        else:
            decay = 1e-4 if name == "resnet20" else 0
            optimiser = torch.optim.SGD(net.parameters(), lr=1e-4, momentum=0.9, weight_decay=decay,
                foreach=foreach)

    def step():
        optimiser.zero_grad(set_to_none=True)
        loss = loss_of(net(x), target)
        loss.backward()
        optimiser.step()
        return loss.item()

    return step


def inference(batch, last):
    net, x = LeNet().eval(), torch.randn(batch, 1, 28, 28)
    if last:
        net, x = net.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)

    def step():
        with torch.inference_mode():
            return net(x)

    return step


def chain(kind):
    x, other = torch.randn(4, requires_grad=True), torch.randn(4)

    def additions():
        y = x
        for _ in range(1000):
            y = y + other
        return y

    def unrecorded():
        with torch.inference_mode():
            additions()

    def back():
        additions().sum().backward()
        x.grad = None

    return {"unrecorded": unrecorded, "recorded": additions, "backward": back}[kind]


def filled(shape, seed):
    """The numbers of fill() in worker.c."""
    count = torch.Size(shape).numel()
    h = (torch.arange(count, dtype=torch.int64) + seed * 0x9e3779b9) % 2**32 * 2654435761 % 2**32
    h = (h ^ h >> 15) * 1123411259 % 2**31 * 2 + (h ^ h >> 15)  # times 2246822519, not too large
    h = h % 2**32
    return (((h >> 16) % 17 - 8).float() / 8).reshape(shape)


def convolution(direction, numbers, last):
    N, C, H, filters, K, S, P, D, G = map(int, numbers.split(","))
    O = (H + 2 * P - D * (K - 1) - 1) // S + 1
    x, k = filled((N, C, H, H), 1), filled((filters, C // G, K, K), 2)
    g = filled((N, filters, O, O), 3)
    if last:
        x, k, g = (t.contiguous(memory_format=torch.channels_last) for t in (x, k, g))

    def forward():
        with torch.inference_mode():
            return F.conv2d(x, k, None, S, P, D, G)

    def backward(*mask):
        with torch.inference_mode():
            return torch.ops.aten.convolution_backward(g, x, k, None, [S, S], [P, P], [D, D],
                False, [0, 0], G, [*mask, False])

    return {"forward": forward, "input": lambda: backward(True, False)[0],
        "kernel": lambda: backward(False, True)[1]}[direction]


def variants(name, how):
    kind, *rest = name.split(":")
    settings = [False, True] if how == "best" else [False]
    if kind == "train":
        return [training(rest[0], last, foreach) for last in settings for foreach in settings]
    if kind == "infer":
        return [inference(int(rest[1]), last) for last in settings]
    if kind == "conv":
        return [convolution(*rest, last) for last in settings]
    if kind == "nodes":
        return [chain(rest[0])]
    raise ValueError(f"no such thing: {name}")


def clock():
    in_processor = os.environ.get("BENCH_CLOCK") == "processor"
    return time.process_time() if in_processor else time.perf_counter()


def seconds_of(run, runs):
    begin = clock()
    for _ in range(runs):
        run()
    return (clock() - begin) / runs


def measure(run, seconds):
    once, runs, times = seconds_of(run, 1), 1, []
    while once * runs < 100e-6:
        runs *= 2
        once = seconds_of(run, runs)
    begin = time.perf_counter()
    while not times or time.perf_counter() - begin < seconds:
        times.append(seconds_of(run, runs))
    return statistics.median(times)


def prepare(name, how):
    candidates = variants(name, how)
    if len(candidates) == 1:
        return candidates[0]
    times = [[] for _ in candidates]
    rounds, seconds = (3, 0.004) if name.startswith("conv:") else (5, 0.03)
    for _ in range(rounds):
        for run, t in zip(candidates, times):
            t.append(measure(run, seconds))
    return candidates[min(range(len(candidates)), key=lambda i: statistics.median(times[i]))]


def memory():
    with open("/proc/self/status", encoding="ascii") as status:
        for line in status:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0


def main():
    how = sys.argv[1]
    torch.manual_seed(1)
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    prepared, run, seen = None, None, "0 0"
    for line in sys.stdin:
        words = line.split()
        if words == ["memory"]:
            print(memory(), flush=True)
            continue
        try:
            if words[0] != prepared:
                prepared, run = words[0], None
                run, seen = prepare(words[0], how), "0 0"
                if words[0].startswith("conv:"):
                    y = run().double()
                    seen = f"{y.sum().item():.9e} {y.abs().sum().item():.9e}"
            print(f"{measure(run, float(words[1])):.9e} {seen}", flush=True)
        except (RuntimeError, ValueError, KeyError) as e:
            prepared = None
            print("none", str(e).split("\n", 1)[0], flush=True)


if __name__ == "__main__":
    main()
