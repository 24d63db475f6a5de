"""Records what PyTorch's ResNet-20 does, for tests/test_resnet20.c, and checks files of weights
both ways.

    python3 tests/parity/resnet20.py record        trains 50 steps in double and in float, from the
                                                   same weights and batches
    tests/test_resnet20 --dump DIR                 trains, then writes DIR/ours.safetensors, weights
                                                   saved by Gradus, and their logits
    python3 tests/parity/resnet20.py check DIR     they fit the same module strictly, and give the
                                                   same logits

The network is that of He et al., Deep Residual Learning for Image Recognition, 2015, section 4.2,
for CIFAR, with shortcuts A: 3 stages of 3 blocks of 2 convolutions, 16, 32 and 64 channels; a
shortcut that halves the picture takes every second row and column, and adds channels of zeros.
Weights and batches come from formulas that hold exactly in float, so that no file holds them:
noise() below, and its like in C.

record writes beside this file resnet20-RUN.txt for each run, a line a step, the loss in double and
in float, and then the loss in eval mode.

Where a ReLU's input is so nearly 0 that rounding decides its sign, float runs part by up to 1e-1
within 50 steps, PyTorch's own too, with and without oneDNN. In the run "still" no input of the 2.4
million comes within 4 times the typical (root mean square) error of a float run, channel by
channel: float runs part by rounding alone, as long as they round no worse than PyTorch. Most seeds
are not so. In the run "turning" PyTorch's float run does turn such a sign.
"""

import os
import sys

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

from lenet import read_safetensors

HERE = os.path.dirname(os.path.abspath(__file__))
STEPS, BATCHES, SIDE, LR, MOMENTUM, DECAY = 50, 4, 8, 0.005, 0.9, 1e-4
RUNS = {"still": (4, 401), "turning": (12, 3)}  # images in a batch, and a seed


def noise(stream, n):
    """n numbers in [-1, 1), multiples of 2^-15: the bits of i and the stream, mixed as MurmurHash3
    mixes its last word."""
    h = np.arange(n, dtype=np.uint32) * np.uint32(0x9E3779B9) + np.uint32(stream * 0x7F4A7C15
        % 2**32)
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35), (16, 1)):
        h = (h ^ (h >> np.uint32(shift))) * np.uint32(factor)
    return (h >> np.uint32(16)).astype(np.float64) / 32768 - 1


class Block(nn.Module):
    def __init__(self, channels_in, channels, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.stride, self.more = stride, channels - channels_in

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + F.pad(x[:, :, :: self.stride, :: self.stride],
            (0, 0, 0, 0, 0, self.more)))


class ResNet20(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        stage = lambda before, channels, stride: nn.Sequential(
            *[Block(channels if i else before, channels, 1 if i else stride) for i in range(3)])
        self.layer1, self.layer2, self.layer3 = stage(16, 16, 1), stage(16, 32, 2), stage(32, 64, 2)
        self.fc = nn.Linear(64, 10)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        return self.fc(self.layer3(self.layer2(self.layer1(x))).mean((2, 3)))


def first_weights(net):
    """Noise of its own for every weight of more than one dimension, by a power of two near
    Kaiming's bound; the others as they are."""
    with torch.no_grad():
        for i, p in enumerate(net.parameters()):
            if p.dim() > 1:
                fan_in = p[0].numel()
                p.copy_(
                    torch.tensor(noise(i, p.numel()).reshape(p.shape) * 2.0 ** np.round(
                        np.log2((6 / fan_in) ** 0.5))))
        net.fc.bias.zero_()


def batch(run, i, dtype):
    count, seed = RUNS[run]
    x = noise(1000 * seed + i, count * 3 * SIDE * SIDE).reshape(count, 3, SIDE, SIDE)
    return torch.tensor(x).to(dtype), (torch.arange(count) * 3 + i) % 10


def loss_of(net, run, i, dtype):
    x, labels = batch(run, i, dtype)
    return F.cross_entropy(net(x), labels)


def losses(run, dtype):
    """Of the steps, and after them the one in eval mode."""
    net = ResNet20().to(dtype)
    first_weights(net)
    sgd = torch.optim.SGD(net.parameters(), lr=LR, momentum=MOMENTUM, weight_decay=DECAY)
    out = []
    for step in range(STEPS):
        loss = loss_of(net, run, step % BATCHES, dtype)
        sgd.zero_grad()
        loss.backward()
        sgd.step()
        out.append(loss.item())
    return out + [loss_of(net.eval(), run, 0, dtype).item()]


def record(run):
    in_double, in_float = losses(run, torch.float64), losses(run, torch.float32)
    with open(os.path.join(HERE, "resnet20-%s.txt" % run), "w") as f:
        for a, b in zip(in_double, in_float):
            f.write("%.15g %.9g\n" % (a, b))
    print(run, "first", in_double[0], "last", in_double[-2:], "strays",
        max(abs(a - b) for a, b in zip(in_double, in_float)))


def check(folder):
    weights = read_safetensors(os.path.join(folder, "ours.safetensors"))
    net = ResNet20()
    state = {k: torch.tensor(v) for k, v in weights.items()}
    net.load_state_dict(state, strict=True)
    same = all(v.dtype == net.state_dict()[k].dtype for k, v in state.items())
    assert same, "another type than PyTorch's"
    counts = [v for k, v in state.items() if k.endswith("num_batches_tracked")]
    assert all(v == STEPS for v in counts), "another number of batches"
    ours = np.loadtxt(os.path.join(folder, "logits.txt"))
    worst = np.abs(net.eval()(batch("still", 0, torch.float32)[0]).detach().numpy() - ours).max()
    assert worst < 1e-4, "logits differ by %g" % worst
    print("PyTorch loads the weights strictly, and gives the same logits to", worst)


if __name__ == "__main__":
    torch.set_num_threads(1)
    if sys.argv[1:] == ["record"]:
        for run in RUNS:
            record(run)
    elif len(sys.argv) == 3 and sys.argv[1] == "check":
        check(sys.argv[2])
    else:
        sys.exit(__doc__)
