"""Records what PyTorch's LeNet does, for tests/test_parity.c, and checks files of weights both
ways.

    tests/test_parity --dump DIR               writes the drawn digits, weights saved by Gradus, and
                                               their logits
    python3 tests/parity/lenet.py check DIR    the weights, read by the plain reader below, fit the
                                               same module strictly
    python3 tests/parity/lenet.py record DIR [MNIST]
                                               trains 100 steps in double and in float, from the
                                               same weights and batches

record writes beside this file lenet-digits.safetensors, the first weights, by the plain writer
below, and lenet-digits.txt: a line a step, the loss in double and in float; and, given the folder
of MNIST's files, the same for mnist. check needs numpy alone to read the file, and PyTorch to load
it.
"""

import gzip
import json
import os
import struct
import sys

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
STEPS, BATCH, LR, MOMENTUM, MEAN, STD = 100, 64, 0.02, 0.9, 0.1307, 0.3081


def read_safetensors(path):
    with open(path, "rb") as f:
        (size,) = struct.unpack("<Q", f.read(8))
        header = json.loads(f.read(size))
        data = f.read()
    header.pop("__metadata__", None)
    kinds = {"F32": np.float32, "F64": np.float64, "I32": np.int32, "I64": np.int64}
    out = {}
    for name, e in header.items():
        begin, end = e["data_offsets"]
        out[name] = np.frombuffer(data[begin:end], kinds[e["dtype"]]).reshape(e["shape"])
    return out


def write_safetensors(path, tensors):
    header, at = {}, 0
    for name, t in tensors.items():
        header[name] = {"dtype": "F32", "shape": list(t.shape), "data_offsets": [at, at + t.nbytes]}
        at += t.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for t in tensors.values():
            f.write(np.ascontiguousarray(t, np.float32).tobytes())


def read_idx(path):
    open_ = gzip.open if path.endswith(".gz") else open
    with open_(path, "rb") as f:
        raw = f.read()
    rank = raw[3]
    return np.frombuffer(raw[4 + 4 * rank :],
        np.uint8).reshape(struct.unpack(">%dI" % rank, raw[4 : 4 + 4 * rank]))


def lenet(torch):
    nn = torch.nn
    net = nn.Sequential()
    for name, layer in (
        ("conv1", nn.Conv2d(1, 6, 5, padding=2)), ("relu1", nn.ReLU()), ("pool1", nn.MaxPool2d(2)),
        ("conv2", nn.Conv2d(6, 16, 5)), ("relu2", nn.ReLU()), ("pool2", nn.MaxPool2d(2)),
        ("flatten", nn.Flatten()), ("fc1", nn.Linear(400, 120)), ("relu3", nn.ReLU()),
        ("fc2", nn.Linear(120, 84)), ("relu4", nn.ReLU()), ("fc3", nn.Linear(84, 10)),
    ):
        net.add_module(name, layer)
    return net


def pixels(torch, images, dtype):
    return ((torch.tensor(images.astype(np.float64)) / 255 - MEAN) / STD).to(dtype)[:, None]


def losses(torch, weights, images, labels, dtype):
    net = lenet(torch).to(dtype)
    net.load_state_dict({k: torch.tensor(v).to(dtype) for k, v in weights.items()}, strict=True)
    sgd = torch.optim.SGD(net.parameters(), lr=LR, momentum=MOMENTUM)
    x, y, out = pixels(torch, images, dtype), torch.tensor(labels.astype(np.int64)), []
    for step in range(STEPS):
        rows = slice(step * BATCH, (step + 1) * BATCH)
        loss = torch.nn.functional.cross_entropy(net(x[rows]), y[rows])
        sgd.zero_grad()
        loss.backward()
        sgd.step()
        out.append(loss.item())
    return out


def record(folder, mnist):
    import torch

    # Where a ReLU's input or two candidates of a pool are so nearly equal that rounding decides,
    # runs part by up to 1e-1 within 100 steps, PyTorch's own float runs (with and without oneDNN)
    # from one another too. With these seeds that does not happen.
    sets = {"digits": (4, os.path.join(folder, "images"), os.path.join(folder, "labels"))}
    if mnist:
        sets["mnist"] = (1, *(os.path.join(mnist, "train-%s-ubyte.gz" % kind)
            for kind in ("images-idx3", "labels-idx1")))
    for name, (seed, images, labels) in sets.items():
        torch.manual_seed(seed)
        weights = {k: v.numpy().copy() for k, v in lenet(torch).state_dict().items()}
        write_safetensors(os.path.join(HERE, "lenet-%s.safetensors" % name), weights)
        x, y = read_idx(images)[: STEPS * BATCH], read_idx(labels)[: STEPS * BATCH]
        in_double, in_float = (losses(torch, weights, x, y, t)
            for t in (torch.float64, torch.float32))
        with open(os.path.join(HERE, "lenet-%s.txt" % name), "w") as f:
            for a, b in zip(in_double, in_float):
                f.write("%.17g %.9g\n" % (a, b))
        print(name, "first", in_double[0], "last", in_double[-1], "strays",
            max(abs(a - b) for a, b in zip(in_double, in_float)))


def check(folder):
    weights = read_safetensors(os.path.join(folder, "weights.safetensors"))
    assert sum(v.size for v in weights.values()) == 61706, "not LeNet's number of parameters"
    import torch

    net = lenet(torch)
    net.load_state_dict({k: torch.tensor(v) for k, v in weights.items()}, strict=True)
    x = pixels(torch, read_idx(os.path.join(folder, "images"))[:8], torch.float32)
    ours = np.loadtxt(os.path.join(folder, "logits.txt"))
    worst = np.abs(net(x).detach().numpy() - ours).max()
    assert worst < 1e-5, "logits differ by %g" % worst
    print("PyTorch loads the weights strictly, and gives the same logits to", worst)


if __name__ == "__main__":
    if len(sys.argv) >= 3 and sys.argv[1] == "record":
        record(sys.argv[2], sys.argv[3] if len(sys.argv) > 3 else None)
    elif len(sys.argv) == 3 and sys.argv[1] == "check":
        check(sys.argv[2])
    else:
        sys.exit(__doc__)
