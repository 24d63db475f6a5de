"""Records a small PyTorch network with batch norm for tests/test_norm.c, and checks that PyTorch
loads what Gradus saves.

    python3 tests/parity/norm.py record        writes norm.safetensors, the state after three
                                               batches in train mode, and norm.txt, beside this file
    tests/test_norm --dump FILE                trains the same network for three batches, from the
                                               same state, and saves it
    python3 tests/parity/norm.py check FILE    the module loads that file strictly, and the state is
                                               what three batches make of it

norm.txt holds, in double: the output in eval mode for the input of `pixels`, then each gradient of
the sum of its squares in train mode.
"""

import os
import sys

import numpy as np
import torch

from lenet import read_safetensors

HERE = os.path.dirname(os.path.abspath(__file__))


def net():
    nn = torch.nn
    out = nn.Sequential()
    for name, layer in (
        ("conv1", nn.Conv2d(2, 5, 3, bias=False)), ("bn1", nn.BatchNorm2d(5)), ("relu1", nn.ReLU()),
        ("conv2", nn.Conv2d(5, 3, 2)), ("bn2", nn.BatchNorm2d(3, momentum=0.25, eps=0.01)),
        ("tanh2", nn.Tanh()), ("bn3", nn.BatchNorm2d(3, affine=False)),
    ):
        out.add_module(name, layer)
    return out.double()


def pixels(step):
    """A formula, so that C has the same numbers."""
    i = np.arange(4 * 2 * 7 * 5, dtype=np.float64) + 1000 * step
    return torch.tensor(np.sin(i * i * 0.01) + 0.3 * np.cos(0.7 * i)).reshape(4, 2, 7, 5)


def start(module):
    """Weights by a formula, too."""
    with torch.no_grad():
        for p in module.parameters():
            p.copy_(torch.sin(torch.arange(p.numel(), dtype=torch.float64) * 0.9
                + p.numel()).reshape(p.shape) * 0.5)


def write_safetensors(path, tensors):
    import json
    import struct

    kinds = {np.dtype(np.float32): "F32", np.dtype(np.int64): "I64"}
    header, at = {}, 0
    for name, t in tensors.items():
        header[name] = {"dtype": kinds[t.dtype], "shape": list(t.shape),
            "data_offsets": [at, at + t.nbytes]}
        at += t.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text
            + b"".join(t.tobytes() for t in tensors.values()))


def state(module):
    return {k: v.float().numpy() if v.is_floating_point() else v.numpy()
        for k, v in module.state_dict().items()}


def trained():
    module = net()
    start(module)
    for step in range(3):
        module(pixels(step))
    return module


def record():
    module = trained()
    write_safetensors(os.path.join(HERE, "norm.safetensors"), state(module))
    out = [module.eval()(pixels(9)).flatten()]
    x = pixels(9).requires_grad_()
    module.train()(x).pow(3).sum().backward()
    out += [x.grad.flatten()] + [p.grad.flatten() for p in module.parameters()]
    with open(os.path.join(HERE, "norm.txt"), "w") as f:
        for t in out:
            for v in t.tolist():
                f.write("%.17g\n" % v)


def check(path):
    ours = read_safetensors(path)
    module, wanted = net(), trained().state_dict()
    module.load_state_dict({k: torch.tensor(v) for k, v in ours.items()}, strict=True)
    assert list(ours) == list(wanted), "another order than state_dict's: %s" % list(ours)
    for name, t in ours.items():
        worst = np.abs(t - wanted[name].numpy()).max()
        assert t.dtype == (np.int64 if "num_batches" in name else np.float32) and worst < 1e-6, (
            name, t.dtype, worst)
    print("PyTorch loads the state strictly, in its own order, and it is the same")


if __name__ == "__main__":
    if sys.argv[1:] == ["record"]:
        record()
    elif len(sys.argv) == 3 and sys.argv[1] == "check":
        check(sys.argv[2])
    else:
        sys.exit(__doc__)
