"""Records what PyTorch makes of the samples that it tests its own operators with, in double, for
tests/test_parity_ops.c.

    python3 tests/parity/samples.py [MOST]        writes samples.txt beside this file: at most MOST
                                                  numbers a tensor, 40

The format is that of special.py, with derivatives of orders 1 and 2. A sample is left out where
Gradus has no such option, by design: integers and other types of number, rounding, other norms,
dimensions over four, pictures without a batch.
"""

import os
import sys
import types

import torch

# which torch.testing imports, and op_db has no use for
sys.modules.setdefault("expecttest", types.SimpleNamespace(TestCase=type("TestCase", (), {}),
    ACCEPT=False))
from torch.testing._internal.common_methods_invocations import op_db

import special

MOST = int(sys.argv[1]) if len(sys.argv) > 1 else 40


def value(s, i, name, default=None):
    return s.args[i] if len(s.args) > i else s.kwargs.get(name, default)


def listed(d):
    return d if isinstance(d, (tuple, list)) else (d,)


def only(s, *names):
    return all(k in names or s.kwargs[k] is None for k in s.kwargs)


def reduced(fn):
    def go(s):
        d, keep = value(s, 0, "dim"), value(s, 1, "keepdim", False)
        if not only(s, "dim", "keepdim"):
            return None
        axes = () if d is None or d == () else listed(d)
        return [s.input], {**({"axes": axes} if axes else {}),
            **({"keepdim": 1} if keep else {})}, (lambda x: fn(x, axes, keep))
    return go


def plain(names=("",)):
    return lambda s: ([s.input, *s.args], {}, None) if (
        not s.kwargs and all(torch.is_tensor(a) for a in s.args)) else None


def axis(s):
    return ([s.input], {"axis": value(s, 0, "dim")}, None) if only(s, "dim") else None


def with_options(*names):
    """The positional arguments after the tensors have these names."""
    def go(s):
        tensors = [s.input] + [a for a in s.args if torch.is_tensor(a)]
        rest = [a for a in s.args if not torch.is_tensor(a)]
        if len(rest) > 1 and len(names) == 1 and not any(isinstance(a, (tuple, list))
                for a in rest):
            rest = [tuple(rest)]
        told = dict(zip(names, rest))
        told.update({k: v for k, v in s.kwargs.items() if v is not None})
        fits = set(told) <= set(names) and len(rest) <= len(names)
        return (tensors, told, None) if fits else None
    return go


def losses(*more):
    def go(s):
        told = {k: v for k, v in s.kwargs.items() if v is not None}
        if not set(told) <= {"reduction", *more} or told.get("beta") == 0:
            return None
        if any(torch.is_tensor(v) for v in told.values()) or s.input.shape != s.args[0].shape:
            return None
        if told.get("reduction") == "mean":
            del told["reduction"]
        if told.get("reduction") == "batchmean":
            del told["reduction"]
            told["batch_mean"] = 1
        return [s.input, s.args[0]], told, None
    return go


def listed_tensors(s):
    return list(s.input), {"axis": value(s, 0, "dim", 0)}, "list"


binary = plain()
TABLE = {
    **{n: (n, plain())
        for n in "neg exp log sqrt sin cos log1p expm1 sigmoid tanh where matmul".split()},
    **{n: (n, plain()) for n in "sub mul div pow maximum minimum add".split()},
    "nn.functional.relu": ("relu", plain()), "nn.functional.silu": ("silu", plain()),
    "nn.functional.softplus": ("softplus", plain()), "nn.functional.linear": ("linear", plain()),
    "sum": ("sum", reduced(lambda x, d, k: x.sum(d, keepdim=k) if d else x.sum())),
    "mean": ("mean", reduced(lambda x, d, k: x.mean(d, keepdim=k) if d else x.mean())),
    "amax": ("max", reduced(lambda x, d, k: x.amax(d, keepdim=k))),
    "amin": ("min", reduced(lambda x, d, k: x.amin(d, keepdim=k))),
    "logsumexp": ("logsumexp", reduced(lambda x, d, k: torch.logsumexp(x, d, keepdim=k))),
    "softmax": ("softmax", axis), "log_softmax": ("log_softmax", axis),
    "unsqueeze": ("unsqueeze", axis), "squeeze": ("squeeze", with_options("axes")),
    "permute": ("permute", with_options("order")), "flip": ("flip", with_options("dims")),
    "transpose": ("transpose", with_options("dims")), "reshape": ("reshape", with_options("shape")),
    "expand": ("expand", with_options("shape")),
    "gather": ("gather", lambda s: ([s.input, s.args[1]], {"axis": s.args[0]},
        lambda x, i: torch.gather(x, s.args[0], i))), "cat": ("concat", listed_tensors),
    "stack": ("stack", listed_tensors), "nn.functional.mse_loss": ("mse", losses()),
    "nn.functional.l1_loss": ("l1", losses()),
    "nn.functional.smooth_l1_loss": ("smooth_l1", losses("beta")),
    "nn.functional.kl_div": ("kl_div", losses("log_target")),
    "nn.functional.binary_cross_entropy_with_logits": ("bce_with_logits", losses()),
    "nn.functional.cross_entropy": ("cross_entropy", lambda s: labelled(s)),
    "nn.functional.nll_loss": ("nll", lambda s: labelled(s)),
}


def labelled(s):
    told = {k: v for k, v in s.kwargs.items() if v is not None}
    if not set(told) <= {"reduction", "weight", "ignore_index"} or s.args[0].is_floating_point():
        return None
    w, index = told.pop("weight", None), told.get("ignore_index", -100)
    if told.get("reduction") == "mean":
        del told["reduction"]
    if index == 0:
        told = {**{k: v for k, v in told.items() if k != "ignore_index"}, "ignore_class_0": 1}
    fn = lambda op: lambda x, i, *w: op(x, i, weight=w[0] if w else None, ignore_index=index,
        reduction=s.kwargs.get("reduction", "mean"))
    return [s.input, s.args[0]] + ([w] if w is not None else []), told, fn


def record(name, op, info, s):
    told = TABLE[name][1](s)
    if told is None:
        return False
    tensors, options, fn = told
    if not all(torch.is_tensor(t) and t.numel() <= MOST and t.dim() <= 5
            and t.dtype in (torch.float64, torch.int64) for t in tensors):
        return False
    if fn == "list":
        fn = lambda *x: info.op(list(x), options["axis"])
    elif op in ("cross_entropy", "nll"):
        fn = fn(info.op)
    elif fn is None:
        fn = lambda *x: info.op(*x, *[a for a in s.args if not torch.is_tensor(a)], **s.kwargs)
    inputs = []
    for k, t in enumerate(tensors):
        a = t.detach().numpy()
        if t.dtype == torch.float64:
            a = a.astype("float32").astype("float64")  # which both builds hold
        constant = op in ("where", "cross_entropy", "nll") and (k == 0 if op == "where" else k == 2)
        inputs.append(("i" if t.dtype == torch.int64 else "c" if constant or not t.requires_grad
            else "x", a))
    special.case(op, fn, *inputs, orders=1 if op == "l1" else 2, **options)
    return True


def main():
    torch.manual_seed(1)
    torch.set_num_threads(1)
    taken = left = 0
    for info in op_db:
        if info.name not in TABLE or info.variant_test_name not in ("", "no_rounding_mode"):
            continue
        for s in info.sample_inputs("cpu", torch.float64, requires_grad=True):
            good = record(info.name, TABLE[info.name][0], info, s)
            taken, left = taken + good, left + (not good)
    text = "cases %d\n%s" % (len(special.cases), "".join(special.cases))
    with open(os.path.join(special.HERE, "samples.txt"), "w") as f:
        f.write(text)
    print(taken, "samples,", left, "left out,", len(text), "bytes")


if __name__ == "__main__":
    main()
