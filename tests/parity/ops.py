"""Records what PyTorch computes, op by op, in double, for tests/test_parity_ops.c.

    python3 tests/parity/ops.py        writes ops.txt beside this file: the same script, PyTorch and
                                       processor, the same file

The file is text. Its first line is "cases N"; then, for each case:

    op conv2d stride=2,1 padding=1     the op and its options; an option that is not there has its
                                       default
    x 2,3,5,5 0.5 -1.25 ...            an input: its shape ("-" for a single number's), then its
                                       numbers, row by row
    c 3 1 0 1                          an input that wants no gradient
    i 4 0 1 1 2                        an input of integers
    y 2,4,3,5 ...                      an output
    j 2 0 1                            an output of integers
    u 2,4,3,5 ...                      the gradient that comes to the output before it; without it
                                       that output has none
    g 2,3,5,5 ...                      the gradient of each x, in the order of the inputs
    z 2,3,5,5                          in the place of g: the gradient is zero throughout, and means
                                       to be

Inputs are multiples of 1/64 (or written out here), which a float holds exactly, so that both builds
of Gradus see the numbers that PyTorch saw. Random ones differ from each other and from 0: no tie is
there by accident. Every case draws from its own stream, so that a new case leaves the others as
they are. The script refuses a gradient that is zero where the case does not say so, or the other
way round, and a case that PyTorch itself computes worse in float than the test asks of Gradus.
"""

import itertools
import os
import sys
import zlib

import numpy as np
import torch
import torch.nn.functional as F

HERE = os.path.dirname(os.path.abspath(__file__))
DIGITS, FLOAT_TOLERANCE = 13, 1e-5
INF, NAN = float("inf"), float("nan")


# ---- inputs: what the case draws or holds, and how it is used ------------------------------------


def x(*shape, low=-2, high=2):
    """Random numbers between low and high, neither of them, with a gradient."""
    return ("x", shape, low, high)


def positive(*shape):
    return x(*shape, low=0.5, high=3)


def weight(*shape):
    """Small ones, so that no activation after them saturates."""
    return x(*shape, low=-0.5, high=0.5)


def c(*shape, low=-2, high=2):
    """The same without a gradient."""
    return ("c", shape, low, high)


def quarters(*shape):
    """Multiples of 1/4, whose products are short in the file: for large inputs."""
    return ("x", shape, -2, 2, 4)


def at(values):
    """These numbers, with a gradient."""
    return ("x", np.array(values, np.float64))


def fixed(values):
    return ("c", np.array(values, np.float64))


def ints(values):
    return ("i", np.array(values, np.int64))


def draw(rng, shape, low, high, step=64):
    grid = np.array([i for i in range(int(np.ceil(low * step)) + 1, int(np.ceil(high * step)))
        if i != 0]) / step
    n = int(np.prod(shape))
    rounds = [rng.permutation(grid) for _ in range(n // len(grid) + 1)]
    return np.concatenate(rounds)[:n].reshape(shape)


# ---- a case --------------------------------------------------------------------------------------

cases, streams = [], {}


def option(value):
    if isinstance(value, (tuple, list)):
        return ",".join(option(v) for v in value)
    return str(int(value)) if isinstance(value, bool) else str(value)


def line(tag, array, numbers=True):
    a = np.asarray(array)
    shape = ",".join(map(str, a.shape)) or "-"
    text = ("%d" if a.dtype.kind == "i" else "%%.%dg" % DIGITS)
    return " ".join([tag, shape] + [text % (v + 0) for v in a.ravel() if numbers])


def compute(fn, tags, arrays, upstream, dtype):
    """The outputs and the gradients of the x, with upstream(i, shape) for the gradient that comes
    to output i."""
    tensors = [torch.tensor(a) if t == "i" else torch.tensor(a, dtype=dtype, requires_grad=t == "x")
        for t, a in zip(tags, arrays)]
    out = fn(*tensors)
    out = out if isinstance(out, tuple) else (out,)
    us = [upstream(i, tuple(y.shape)) if y.requires_grad else None for i, y in enumerate(out)]
    pairs = [(y, torch.tensor(u, dtype=dtype)) for y, u in zip(out, us) if u is not None]
    xs = [t for t, tag in zip(tensors, tags) if tag == "x"]
    grads = torch.autograd.grad([y for y, _ in pairs], xs, [u for _, u in pairs],
        allow_unused=True) if xs else []
    grads = [torch.zeros_like(t) if g is None else g for t, g in zip(xs, grads)]
    return [y.detach().numpy() for y in out], us, [g.numpy() for g in grads]


def off(a, b):
    """How far a strays from b, by the scale of b; NaN and Inf must be the same."""
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    finite = np.isfinite(a) & np.isfinite(b)
    if not np.all(same | finite):
        return INF
    scale = np.abs(b[np.isfinite(b)]).max(initial=0)
    with np.errstate(invalid="ignore"):
        return 0 if np.all(same) else np.abs(np.where(finite, a - b, 0)).max() / scale


def case(op, fn, *inputs, zero=(), **options):
    """One case: fn of the inputs in PyTorch. zero: the numbers of the x whose gradient is zero
    throughout."""
    head = " ".join(["op", op] + ["%s=%s" % (k, option(v)) for k, v in options.items()])
    key = repr((head, [i[1].shape if len(i) == 2 else i[1:] for i in inputs]))
    streams[key] = streams.get(key, 0) + 1
    rng = np.random.RandomState(zlib.crc32(("%s %d" % (key, streams[key])).encode()))
    tags = [i[0] for i in inputs]
    arrays = [i[1] if len(i) == 2 else draw(rng, *i[1:]) for i in inputs]
    for a in arrays:
        exact = a.dtype.kind == "i" or np.array_equal(a, a.astype(np.float32), equal_nan=True)
        assert exact, "%s: an input no float holds" % head
    drawn = {}

    def upstream(i, shape):
        return drawn.setdefault(i, draw(rng, shape, -2, 2, 16))

    ys, us, gs = compute(fn, tags, arrays, upstream, torch.float64)
    in_float = compute(fn, tags, arrays, upstream, torch.float32)
    for a, b in zip(in_float[0] + in_float[2], ys + gs):
        assert off(a, b) < FLOAT_TOLERANCE, "%s: PyTorch's float strays by %g" % (head, off(a, b))
    lines = [head] + [line(t, a) for t, a in zip(tags, arrays)]
    for y, u in zip(ys, us):
        lines += [line("j" if y.dtype.kind == "i" else "y", y)] + ([line("u", u)] if u is not None
            else [])
    if not any(y.size for y in ys):
        zero = range(len(gs))  # of an output without numbers
    for i, g in enumerate(gs):
        assert g.size == 0 or (i in zero) == (not g.any()), "%s: gradient %d is %s" % (head, i, g)
        lines.append(line("z" if i in zero and g.size else "g", g, i not in zero))
    cases.append("\n".join(lines) + "\n")


# ---- arithmetic, element by element --------------------------------------------------------------

PAIRS = [((3, 4), (3, 4)), ((3, 4), (4,)), ((2, 1, 3), (4, 1)), ((), (2, 3)), ((1,), (5,)),
         ((0, 3), (3,)), ((1, 1), (1, 1)), ((2, 3, 1, 2), (1, 4, 1)), ((), ())]


def arithmetic():
    for op, fn in (("add", torch.add), ("sub", torch.sub), ("mul", torch.mul),
            ("maximum", torch.maximum), ("minimum", torch.minimum)):
        for a, b in PAIRS:
            # of two single numbers one is larger, and the other's gradient is zero
            if op in ("maximum", "minimum") and np.prod(a + b) == 1:
                a, b = at(np.full(a, 0.5)), at(np.full(b, 0.75))
                case(op, fn, a, b, zero=(0,) if op == "maximum" else (1,))
            else:
                case(op, fn, x(*a) if a else at(0.25), x(*b))
    for a, b in PAIRS:
        case("div", torch.div, x(*a), x(*b))
        case("pow", torch.pow, positive(*a), x(*b))
    for op, fn in (("maximum", torch.maximum), ("minimum", torch.minimum)):
        case(op, fn, at([1, 2, 3, -1, 0]), at([1, 2.5, 2, -1, 0]))
        case(op, fn, at([[1], [2]]), at([1, 2, 1]))
        case(op, fn, at([1, NAN, INF, -INF]), at([NAN, 1, 2, 2]))
    case("div", torch.div, at([1, -1, 0.5]), fixed([0, 0, 4]))
    case("pow", torch.pow, at([0, 0, 0, 2, 2, 0.5]), at([0, 1, 2, 0, 3, -2]))
    case("pow", torch.pow, at([-2, -2, -3, -0.5]), fixed([3, 2, 0, -1]))
    case("square", lambda a: a * a, x(2, 3))
    for op in ("eq", "ne", "lt", "le", "gt", "ge"):
        fn = getattr(torch, op)
        compare = lambda a, b, fn=fn: fn(a, b).to(a.dtype)
        case(op, compare, fixed([1, 2, 3, NAN]), fixed([2, 2, 2, NAN]))
        case(op, compare, fixed([[1], [2]]), fixed([1, 2, 3]))
    where = lambda k, a, b: torch.where(k != 0, a, b)
    case("where", where, fixed([[1, 0, 1], [0, 0, 2]]), x(2, 3), x(2, 3))
    case("where", where, fixed([1, 0, -1]), x(2, 1), x(1))
    case("where", where, fixed([[1], [0]]), x(3), x(2, 3))
    case("where", where, fixed(1), x(2, 2), x(2, 2), zero=(1,))


ODD = [-100, -2, -1, -0.5, 0, 0.5, 1, 2, 100]


def unary():
    slope = lambda s: lambda a: F.leaky_relu(a, s)
    elu = lambda s: lambda a: F.elu(a, s)
    ops = [("neg", torch.neg, x, {}), ("exp", torch.exp, x, {}), ("log", torch.log, positive, {}),
           ("sqrt", torch.sqrt, positive, {}), ("abs", torch.abs, x, {}), ("sin", torch.sin, x, {}),
           ("cos", torch.cos, x, {}), ("log1p", torch.log1p, positive, {}),
           ("expm1", torch.expm1, x, {}), ("erf", torch.erf, x, {}), ("relu", torch.relu, x, {}),
           ("sigmoid", torch.sigmoid, x, {}), ("tanh", torch.tanh, x, {}),
           ("softplus", F.softplus, x, {}), ("silu", F.silu, x, {}), ("gelu", F.gelu, x, {}),
           ("scale", lambda a: a * -1.75, x, {"factor": -1.75}),
           ("leaky_relu", slope(0.01), x, {"slope": 0.01}), ("elu", elu(1.0), x, {"alpha": 1.0}),
           ("clamp", lambda a: a.clamp(-1.5, 1), x, {"low": -1.5, "high": 1})]
    for op, fn, domain, options in ops:
        case(op, fn, domain(2, 3, 5), **options)
        case(op, fn, domain(0, 2), **options)
        case(op, fn, at(0.75), **options)
        # PyTorch's elu lets the gradient through at NaN, where ours is NaN; of those that multiply
        # by x the gradient at Inf is chance
        plain = op not in ("elu", "gelu", "silu", "softplus", "sin", "cos")
        case(op, fn, (at if plain else fixed)([NAN, 0.5, INF, -INF]), **options)
    for op, fn in (("relu", torch.relu), ("abs", torch.abs), ("sigmoid", torch.sigmoid),
                   ("tanh", torch.tanh), ("silu", F.silu), ("gelu", F.gelu), ("erf", torch.erf),
                   ("neg", torch.neg), ("softplus", F.softplus)):
        case(op, fn, at(ODD))
    case("sin", torch.sin, at([-8, -3, 0, 3, 100, 1000]))
    case("cos", torch.cos, at([-8, -3, 0.5, 3, 100, 1000]))
    case("exp", torch.exp, at([-80, -1, 0, 1, 3]))
    case("log", torch.log, at([0.25, 1, 1024]))
    case("log", torch.log, fixed([0, 1, -1, INF]))
    case("log1p", torch.log1p, at([2.0**-20, -(2.0**-20), 2.0**-60]))
    case("expm1", torch.expm1, at([2.0**-20, -(2.0**-20), 2.0**-60]))
    case("sqrt", torch.sqrt, fixed([0, 4, 2, -1, INF]))
    case("sign", torch.sign, fixed([-3, 0, 2, INF, -0.0]))
    case("scale", lambda a: a * 0, x(3), zero=(0,), factor=0)
    for s in (0.25, 0, 1.5):
        case("leaky_relu", slope(s), at(ODD), slope=s)
    for s in (0.5, 2):
        case("elu", elu(s), at(ODD), alpha=s)
    case("clamp", lambda a: a.clamp(-1, 1), at(ODD), low=-1, high=1)
    case("clamp", lambda a: a.clamp(0.5, 0.5), at(ODD), low=0.5, high=0.5)
    case("clamp", lambda a: a.clamp(4, 5), x(2, 2), zero=(0,), low=4, high=5)
    case("sign", torch.sign, fixed([NAN, INF, -INF]))


# ---- reductions ----------------------------------------------------------------------------------

AXES = [((2, 3, 4), None), ((2, 3, 4), (1,)), ((2, 3, 4), (-1,)), ((2, 3, 4), (0, 2)),
        ((2, 3, 4), (0, 1, 2)), ((3, 1, 2), (1,)), ((1,), None), ((), None), ((2, 1, 3, 2), (3, 0))]


def reductions():
    def over(fn):
        return lambda axes, keepdim: lambda a: fn(a, tuple(range(a.dim())) if axes is None
            else axes, keepdim)

    ops = [("sum", over(torch.sum)), ("mean", over(torch.mean)), ("max", over(torch.amax)),
           ("min", over(torch.amin)),
           ("norm", over(lambda a, d, k: torch.linalg.vector_norm(a, dim=d, keepdim=k))),
           ("logsumexp", over(torch.logsumexp))]
    for op, fn in ops:
        for n, (shape, axes) in enumerate(AXES):
            if op == "logsumexp" and not shape:
                continue  # PyTorch has none of a single number
            options = {} if axes is None else {"axes": axes}
            case(op, fn(axes, n % 2 == 1), x(*shape), **options,
                **({"keepdim": 1} if n % 2 == 1 else {}))
    for (shape, axes), biased in zip(AXES[:5] + AXES[8:], itertools.cycle((False, True))):
        for op, fn in (("var", torch.var), ("std", torch.std)):
            options = {} if axes is None else {"axes": axes}
            options.update({"biased": 1} if biased else {"keepdim": 1})
            dims = tuple(range(len(shape))) if axes is None else axes
            case(op, lambda a, fn=fn, dims=dims: fn(a, dims, not biased, not biased), x(*shape),
                **options)
    for op, fn in ops[:2]:
        case(op, fn(None, False), x(0, 3))
        case(op, fn((0,), False), x(0, 3), axes=0)
        case(op, fn((1,), True), x(0, 3), axes=1, keepdim=1)
    for op, fn in ops[2:4]:
        case(op, fn(None, False), at([[1, 3, 3], [3, 1, 1]]))
        case(op, fn((0,), False), at([[1, 3, 3], [1, 1, 3]]), axes=0)
        case(op, fn((1,), True), at([[2, 2, 2], [5, 4, 4]]), axes=1, keepdim=1)
        case(op, fn((0,), False), fixed([[1, NAN], [INF, 2]]), axes=0)
    for op, fn in ops[:2] + ops[4:5]:
        case(op, fn(None, False), quarters(555))
        case(op, fn((0,), False), quarters(70, 9), axes=0)
    case("norm", ops[4][1]((1,), False), at([[0, 0], [3, 4]]), axes=1)
    case("norm", ops[4][1]((1,), False), x(0, 3), axes=1)
    case("norm", ops[4][1]((1,), False), x(3, 0), axes=1)
    case("logsumexp", ops[5][1]((0,), False), at([[100, -100, 5], [100, -101, 5]]), axes=0)
    case("std", lambda a: torch.std(a, (1,)), at([[2, 2, 2], [1, 2, 4]]), axes=1)
    case("var", lambda a: torch.var(a, (1,)), at([[2, 2, 2], [1, 2, 4]]), axes=1)
    case("var", lambda a: torch.var(a, (1,)), c(2, 1), axes=1)
    case("std", lambda a: torch.std(a, (0,)), c(1, 2), axes=0)
    case("var", lambda a: torch.var(a, (1,), False), x(2, 1), zero=(0,), axes=1, biased=1)
    case("mean", ops[1][1](None, False), at(1000 + np.arange(24).reshape(4, 6) / 64))
    case("var", lambda a: torch.var(a, (0, 1)), at(16 + np.arange(24).reshape(4, 6) / 64))
    for shape, axis in (((2, 3, 4), 1), ((2, 3, 4), -1), ((5,), 0), ((2, 1), 1)):
        case("argmax", lambda a, axis=axis: a.argmax(axis), c(*shape), axis=axis)
    case("argmax", lambda a: a.argmax(1), fixed([[1, 3, 3], [2, 2, 2]]), axis=1)


# ---- shape and movement --------------------------------------------------------------------------


def movement():
    for shape, to in (((2, 6), (3, 4)), ((2, 3, 4), (6, -1)), ((6,), (1, 6, 1)), ((1, 1), ()),
            ((0, 3), (3, 0))):
        case("reshape", lambda a, to=to: a.reshape(to), x(*shape), shape=to or "-")
    for shape in ((2, 3, 4), (3,), (0, 2, 2), (1, 1, 1, 5)):
        case("flatten", lambda a: a.reshape(a.shape[0], int(np.prod(a.shape[1:]))), x(*shape))
    for shape, order in (((2, 3, 4), (2, 0, 1)), ((2, 3), (1, 0)), ((2, 1, 3, 2), (0, 2, 3, 1)),
            ((0, 2), (1, 0)), ((2, 3, 4), (0, -1, 1))):
        case("permute", lambda a, order=order: a.permute(order), x(*shape), order=order)
    for shape, to in (((2, 1), (2, 3)), ((3,), (2, 2, 3)), ((), (2, 2)), ((1, 1), (1, 1)),
            ((1, 2), (0, 1, 2))):
        case("expand", lambda a, to=to: a.expand(to), x(*shape), shape=to)
    for shape, dims in (((2, 3, 4), (0,)), ((2, 3, 4), (1, 2)), ((5,), (-1,)), ((2, 1), (1,))):
        case("flip", lambda a, dims=dims: a.flip(dims), x(*shape), dims=dims)
    for shapes, axis in ((((2, 3), (2, 1)), 1), (((1, 2), (3, 2), (2, 2)), 0),
            (((2, 2), (2, 0)), -1), (((3,),), 0), (((2, 1, 3), (2, 2, 3)), 1)):
        case("concat", lambda *a, axis=axis: torch.cat(a, axis), *[x(*s) for s in shapes],
            axis=axis)
    for shape, a, b in (((2, 3, 4), 0, 2), ((2, 3), -1, 0), ((2, 3), 1, 1), ((1, 4), 0, 1)):
        case("transpose", lambda t, a=a, b=b: t.transpose(a, b), x(*shape), dims=(a, b))
    for shape, axis in (((2, 3), 0), ((2, 3), 2), ((2, 3), -1), ((), 0), ((2, 3), -2)):
        case("unsqueeze", lambda a, axis=axis: a.unsqueeze(axis), x(*shape), axis=axis)
    case("squeeze", torch.squeeze, x(1, 3, 1))
    case("squeeze", torch.squeeze, x(1, 1))
    case("squeeze", lambda a: a.squeeze(0), x(1, 3, 1), axes=0)
    case("squeeze", lambda a: a.squeeze(1), x(2, 3, 1), axes=1)
    case("squeeze", lambda a: a.squeeze(-1).squeeze(0), x(1, 3, 1), axes=(0, -1))
    for shape, n, axis in (((2, 3), 2, 0), ((2, 3), 3, 1), ((2,), 2, -1), ((), 3, 0)):
        case("stack", lambda *a, axis=axis: torch.stack(a, axis), *[x(*shape) for _ in range(n)],
            axis=axis)
    for shape, size, axis in (((5, 2), 2, 0), ((2, 6), 3, 1), ((2, 3), 1, -1), ((2, 3), 7, 1)):
        case("split", lambda a, size=size, axis=axis: torch.split(a, size, axis), x(*shape),
            size=size, axis=axis)
    for shape, shift, axis in (((5,), 2, 0), ((2, 4), -1, 1), ((2, 3, 2), 4, 1), ((2, 3), 0, -1),
            ((1, 3), 5, 0)):
        case("roll", lambda a, shift=shift, axis=axis: torch.roll(a, shift, axis), x(*shape),
            shift=shift, axis=axis)
    for shape, axis, start, stop, step in (((6, 2), 0, 1, 4, 1), ((2, 7), 1, 0, 7, 3),
                                           ((2, 7), -1, -5, -1, 2), ((4,), 0, 2, 99, 1),
                                           ((3, 2), 0, 2, 2, 1), ((2, 3, 4), 1, 1, 2, 1),
                                           ((5, 3), 0, 1, 5, 2)):
        index = (slice(None),) * (axis % len(shape)) + (slice(start, stop, step),)
        case("slice", lambda a, index=index: a[index], x(*shape), axis=axis, start=start, stop=stop,
             **({"step": step} if step > 1 else {}))
    for shape, before, after, value in (((2, 3), (1, 2), None, 0), ((2, 3), (0, 1), (2, 0), 0.5),
                                        ((3,), (2,), (-1,), -1), ((2, 3), (-1, 0), (1, -2), 0),
                                        ((2, 2, 3, 3), (0, 0, 1, 2), (0, 0, 2, 1), 0),
                                        ((0, 2), (1, 1), None, 3)):
        pads = [p for pair in reversed(list(zip(before, after or before))) for p in pair]
        options = {"before": before, **({"after": after} if after else {}),
            **({"value": value} if value else {})}
        case("pad", lambda a, pads=pads, value=value: F.pad(a, pads, value=value), x(*shape),
            **options)


def picked():
    for shape, axis, index in (((3, 4), 0, [[0, 2, 1, 1], [2, 2, 0, 1]]),
                               ((3, 4), 1, [[3, 0], [1, 1], [2, 0]]), ((5,), -1, [4, 4, 0]),
                               ((2, 3, 2), 1, [[[2, 0]], [[1, 1]]]),
                               ((2, 3), 1, [[2, 2, 2, 2, 0], [1, 0, 1, 0, 1]]), ((1, 1), 0, [[0]])):
        case("gather", lambda a, i, axis=axis: a.gather(axis, i), x(*shape), ints(index), axis=axis)
    case("gather", lambda a, i: a.gather(0, i), x(2, 3), ints(np.zeros((0, 3))), axis=0)
    for shape, index in (((5, 3), [4, 0, 0]), ((4, 2), [[1, 2], [3, 1], [1, 1]]), ((3, 1), 2),
            ((1, 4), [0, 0])):
        case("embedding", lambda w, i: F.embedding(i, w), x(*shape), ints(index))
    case("embedding", lambda w, i: F.embedding(i, w), x(3, 2), ints(np.zeros((0,))))
    for index, classes in (([0, 2, 1], 3), ([[1], [3]], 5), (0, 1), (np.zeros((0, 2)), 2)):
        case("one_hot", lambda i: F.one_hot(i, classes).double(), ints(index), classes=classes)


# ---- matrices ------------------------------------------------------------------------------------


def act_of(name):
    return {None: lambda y: y, "relu": torch.relu, "sigmoid": torch.sigmoid,
        "tanh": torch.tanh}[name]


def matrices():
    for a, b in (((2, 3), (3, 4)), ((1, 1), (1, 1)), ((3,), (3,)), ((3,), (3, 2)), ((2, 3), (3,)),
                 ((2, 2, 3), (2, 3, 2)), ((2, 3), (4, 3, 2)), ((2, 1, 2, 3), (3, 3, 2)),
                 ((2, 2, 3), (3,)), ((0, 3), (3, 2)), ((7, 5), (5, 9)), ((1, 8), (8, 1))):
        case("matmul", torch.matmul, x(*a), x(*b))
    case("matmul", torch.matmul, x(2, 0), x(0, 3))
    case("matmul", torch.matmul, quarters(33, 37), quarters(37, 19))
    case("matmul", lambda a, b: a.mT @ b, x(3, 2), x(3, 4), transpose_a=1)
    case("matmul", lambda a, b: a @ b.mT, x(2, 2, 3), x(4, 3), transpose_b=1)
    case("matmul", lambda a, b: a.mT @ b.mT, x(2, 3, 2), x(2, 4, 3), transpose_a=1, transpose_b=1)
    for shape, units, act in (((3, 4), 2, None), ((2, 3, 4), 3, "relu"), ((4,), 2, "tanh"),
            ((0, 3), 2, None), ((3, 1), 1, "sigmoid"), ((2, 5), 3, None)):
        options = {"act": act} if act else {}
        case("linear", lambda a, w, b, act=act: act_of(act)(F.linear(a, w, b)), x(*shape),
            weight(units, shape[-1]), x(units), **options)
        case("linear", lambda a, w, act=act: act_of(act)(F.linear(a, w)), x(*shape),
            weight(units, shape[-1]), **options)


# ---- convolutions and pooling --------------------------------------------------------------------

GEOMETRIES = [
    ((2, 3, 5, 5), (4, 3, 3, 3), {}),
    ((1, 2, 6, 5), (3, 2, 3, 3), {"padding": 1}),
    ((2, 2, 7, 6), (2, 2, 3, 3), {"stride": 2, "padding": 1}),
    ((1, 2, 7, 8), (2, 2, 2, 3), {"stride": 3}),
    ((1, 2, 7, 7), (2, 2, 3, 3), {"dilation": 2}),
    ((1, 2, 9, 8), (2, 2, 3, 2), {"stride": 2, "dilation": 3, "padding": 2}),
    ((2, 4, 5, 5), (6, 2, 3, 3), {"groups": 2, "padding": 1}),
    ((1, 4, 5, 4), (4, 1, 3, 3), {"groups": 4}),
    ((1, 3, 6, 6), (6, 1, 3, 3), {"groups": 3, "stride": 2, "padding": 1, "dilation": 2}),
    ((2, 3, 4, 4), (5, 3, 1, 1), {}),
    ((2, 3, 5, 4), (2, 3, 1, 1), {"stride": 2}),
    ((1, 2, 6, 7), (2, 2, 3, 2), {"stride": (2, 1), "padding": (0, 1)}),
    ((1, 2, 6, 7), (2, 2, 2, 3), {"dilation": (1, 2), "padding": (2, 0), "stride": (1, 3)}),
    ((1, 1, 1, 1), (1, 1, 1, 1), {}),
    ((1, 1, 1, 1), (1, 1, 3, 3), {"padding": 1}),
    ((1, 1, 5, 5), (1, 1, 5, 5), {"padding": 2}),
    ((2, 1, 3, 3), (2, 1, 3, 3), {"padding": 3}),
    ((0, 2, 4, 4), (3, 2, 3, 3), {"padding": 1}),
    ((1, 1, 1, 9), (2, 1, 1, 4), {"stride": 2, "padding": (0, 1)}),
    ((1, 8, 6, 6), (8, 8, 3, 3), {"padding": 1}),
]


def convolutions():
    grad = torch.nn.grad
    for n, (a, k, geometry) in enumerate(GEOMETRIES):
        act = (None, None, "relu", "tanh", "sigmoid")[n % 5]
        options = {**geometry, **({"act": act} if act else {})}
        if n % 2:
            case("conv2d", lambda a, k: act_of(act)(F.conv2d(a, k, **geometry)), x(*a), weight(*k),
                **options)
        else:
            case("conv2d", lambda a, k, b: act_of(act)(F.conv2d(a, k, b, **geometry)), x(*a),
                weight(*k), x(k[0]), **options)
        y = F.conv2d(torch.zeros(a), torch.zeros(k), **geometry).shape
        if 0 in a:
            continue
        case("conv2d_input_grad", lambda g, k: grad.conv2d_input(a, k, g, **geometry), x(*y), x(*k),
            size=a[2:], **geometry)
        case("conv2d_kernel_grad", lambda t, g: grad.conv2d_weight(t, k, g, **geometry), x(*a),
            x(*y), size=k[2:], **geometry)
    for a, k, geometry in (
        ((2, 3, 4, 4), (3, 2, 3, 3), {}), ((1, 2, 3, 4), (2, 3, 3, 3), {"stride": 2}),
        ((1, 2, 4, 3), (2, 2, 3, 3), {"stride": 2, "padding": 1}),
        ((1, 2, 3, 3), (2, 2, 3, 3), {"stride": 2, "padding": 1, "output_padding": 1}),
        ((1, 2, 3, 3), (2, 2, 2, 3), {"dilation": 2, "padding": 1}),
        ((2, 4, 3, 3), (4, 1, 3, 3), {"groups": 2, "padding": 1}),
        ((1, 3, 3, 4), (3, 2, 2, 2), {"groups": 3, "stride": 2}),
        ((1, 2, 2, 3), (2, 1, 4, 4), {"stride": 2, "padding": 1}),
        ((1, 1, 1, 1), (1, 2, 3, 3), {"stride": 3}),
        ((1, 2, 3, 2), (2, 2, 2, 3), {"stride": (3, 2), "padding": (0, 1),
            "output_padding": (2, 1)}), ((2, 2, 3, 3), (2, 3, 1, 1), {}),
        ((1, 2, 3, 3), (2, 2, 3, 3), {"stride": 3, "dilation": 2, "output_padding": 2,
            "padding": 2}),
    ):
        filters = k[1] * geometry.get("groups", 1)
        case("conv_transpose2d", lambda a, k, b: F.conv_transpose2d(a, k, b, **geometry), x(*a),
            x(*k), x(filters), **geometry)
    case("conv_transpose2d", F.conv_transpose2d, x(1, 2, 3, 3), x(2, 2, 2, 2))
    # enough channels and images for every way there is to compute them
    case("conv2d", lambda a, k: F.conv2d(a, k, padding=1), quarters(12, 16, 4, 4),
        quarters(16, 16, 3, 3), padding=1)
    plane = lambda a, b, **o: F.conv2d(a[None, None], b[None, None], **o)[0, 0]
    for a, b in (((4, 5), (2, 3)), ((3, 3), (3, 3)), ((1, 1), (1, 1)), ((5, 2), (1, 2))):
        case("conv_filt", plane, x(*a), x(*b))
        case("conv_valid", lambda a, b: plane(a, b.flip(0, 1)), x(*a), x(*b))
        case("conv_full", lambda a, b: plane(a, b.flip(0, 1),
            padding=(b.shape[0] - 1, b.shape[1] - 1)), x(*a), x(*b))


POOLS = [((2, 3, 4, 4), 2, {}), ((1, 2, 5, 5), 2, {}), ((1, 2, 6, 7), 3, {"stride": 2}),
         ((1, 2, 6, 5), 3, {"stride": 2, "padding": 1}), ((1, 2, 5, 7), (2, 3), {}),
         ((1, 1, 7, 6), (3, 2), {"stride": (1, 2), "padding": (1, 0)}), ((2, 1, 3, 3), 1, {}),
         ((1, 1, 1, 1), 1, {}), ((1, 2, 4, 4), 4, {}), ((0, 2, 4, 4), 2, {}),
         ((1, 1, 9, 9), 2, {"stride": 5}), ((1, 1, 5, 5), 3, {"stride": 1, "padding": 1})]


def pooling():
    for shape, size, options in POOLS:
        case("max_pool2d", lambda a: F.max_pool2d(a, size, **options), x(*shape), size=size,
            **options)
    for options in ({}, {"stride": 1}, {"padding": 1}):
        ties = at([[[[1, 1, 0, 2], [1, 1, 2, 0], [3, 0, 0, 0], [0, 3, 0, 0]]]])
        case("max_pool2d", lambda a: F.max_pool2d(a, 2, **options), ties, size=2, **options)
    case("max_pool2d", lambda a: F.max_pool2d(a, 2),
        fixed([[[[1, NAN], [2, 3]], [[-INF, -INF], [-INF, -INF]]]]), size=2)


    for shape, size, options in POOLS:
        case("avg_pool2d", lambda a: F.avg_pool2d(a, size, **options), x(*shape), size=size,
            **options)
        if "padding" in options:
            case("avg_pool2d", lambda a: F.avg_pool2d(a, size, **options, count_include_pad=False),
                x(*shape), size=size, **options, exclude_padding=1)
    for shape, to in (((2, 3, 4, 4), (2, 2)), ((1, 2, 5, 7), (3, 2)), ((1, 2, 5, 7), (1, 1)),
                      ((2, 1, 3, 3), (3, 3)), ((1, 1, 2, 3), (5, 4)), ((1, 1, 10, 7), (4, 3)),
                      ((0, 1, 3, 3), (2, 2))):
        case("adaptive_avg_pool2d", lambda a: F.adaptive_avg_pool2d(a, to), x(*shape), size=to)
    for shape in ((2, 3, 4, 5), (1, 1, 1, 1), (0, 2, 3, 3)):
        case("global_avg_pool2d", lambda a: F.adaptive_avg_pool2d(a, 1), x(*shape))
    for mode in ("nearest", "bilinear"):
        told = {"bilinear": 1} if mode == "bilinear" else {}
        for shape, scale in (((2, 2, 3, 3), 2), ((1, 2, 2, 3), 3), ((1, 1, 4, 4), 0.5),
                             ((1, 1, 5, 4), 1.5), ((1, 2, 7, 5), 0.75), ((1, 1, 1, 1), 4),
                             ((1, 1, 3, 2), 1), ((1, 1, 4, 7), 1.1), ((1, 1, 3, 2), 2.3),
                             ((1, 1, 2, 31), 1.3)):
            case("upsample", lambda a: F.interpolate(a, scale_factor=scale, mode=mode), x(*shape),
                scale=scale, **told)
        for shape, size in (((1, 2, 3, 3), (5, 7)), ((2, 1, 4, 5), (4, 2)), ((1, 1, 7, 6), (3, 3)),
                ((1, 1, 1, 3), (2, 9)), ((1, 1, 2, 2), (1, 1))):
            case("upsample", lambda a: F.interpolate(a, size=size, mode=mode), x(*shape), size=size,
                **told)


# ---- normalisation -------------------------------------------------------------------------------


def normalisation():
    def batch_norm(training, momentum=0.1, eps=1e-5, act=None, affine=True, running=True):
        def fn(a, *rest):
            w, b = rest[:2] if affine else (None, None)
            mean, var = [t.clone() for t in rest[-2:]] if running else (None, None)
            y = act_of(act)(F.batch_norm(a, mean, var, w, b, training, momentum, eps))
            return (y, mean, var) if running and training else y

        return fn

    for shape, options in (
        ((4, 3, 2, 2), {}), ((2, 2, 5, 3), {"momentum": 0.5, "eps": 0.01}), ((3, 4, 1, 1), {}),
        ((1, 2, 3, 3), {"act": "relu"}), ((2, 1, 3, 5), {"act": "tanh"}),
        ((2, 3, 3, 2), {"affine": False}), ((2, 2, 3, 3), {"affine": False, "act": "sigmoid"}),
        ((2, 2, 4, 4), {"eps": 1}), ((5, 1, 1, 2), {"momentum": 1}),
    ):
        scale = weight if "act" in options else x
        more = [scale(shape[1]), scale(shape[1])] if options.get("affine", True) else []
        running = [c(shape[1]), c(shape[1], low=0.5, high=3)]
        for training in (True, False):
            case("batch_norm2d", batch_norm(training, **options), x(*shape), *more, *running,
                training=training, **options)
        case("batch_norm2d", batch_norm(True, **options, running=False), x(*shape), *more,
            training=1, **options, running=0)
    far = at(16 + np.arange(24).reshape(2, 2, 3, 2) % 7 / 8)
    case("batch_norm2d", batch_norm(True), far, x(2), x(2), c(2), c(2, low=0.5, high=3), training=1)
    case("batch_norm2d", batch_norm(True), at(np.ones((2, 1, 2, 2))), x(1), x(1), c(1),
        c(1, low=0.5, high=3), zero=(1,), training=1)
    case("batch_norm2d", batch_norm(False), x(0, 2, 3, 3), x(2), x(2), c(2), c(2, low=0.5, high=3),
        training=0)

    for shape, dims, eps in (((3, 4), 1, 1e-5), ((2, 3, 4), 2, 1e-5), ((2, 3, 4), 3, 0.5),
                             ((5,), 1, 1e-5), ((2, 2, 3, 3), 1, 0.01), ((2, 1, 5), 2, 1e-5),
                             ((0, 3), 1, 1e-5)):
        told = {**({"dims": dims} if dims > 1 else {}), **({"eps": eps} if eps != 1e-5 else {})}
        inner = shape[len(shape) - dims :]
        case("layer_norm", lambda a, w, b: F.layer_norm(a, inner, w, b, eps), x(*shape), x(*inner),
            x(*inner), **told)
        case("layer_norm", lambda a: F.layer_norm(a, inner, None, None, eps), x(*shape), **told)
    case("layer_norm", lambda a, w, b: F.layer_norm(a, (3,), w, b), at([[1, 1, 1], [1, 2, 4]]),
        x(3), x(3))
    for shape, groups, eps in (((2, 4, 3, 3), 1, 1e-5), ((2, 4, 3, 3), 2, 1e-5),
                               ((2, 4, 3, 3), 4, 0.01), ((2, 6, 3), 3, 1e-5), ((3, 4), 2, 0.5),
                               ((1, 2, 2, 1, 2), 2, 1e-5)):
        told = {"groups": groups, **({"eps": eps} if eps != 1e-5 else {})}
        case("group_norm", lambda a, w, b: F.group_norm(a, groups, w, b, eps), x(*shape),
            x(shape[1]), x(shape[1]), **told)
        case("group_norm", lambda a: F.group_norm(a, groups, None, None, eps), x(*shape), **told)


# ---- probabilities and losses --------------------------------------------------------------------


def losses():
    for op, fn in (("softmax", torch.softmax), ("log_softmax", torch.log_softmax)):
        for shape, axis in (((3, 5), 1), ((3, 5), 0), ((2, 3, 4), 1), ((2, 3, 4), -1), ((0, 3), 1),
                ((2, 3, 2), 0), ((9,), 0)):
            case(op, lambda a: fn(a, axis), x(*shape), axis=axis)
        case(op, lambda a: fn(a, 1), at([[1000, 1001, 999], [-1000, 0, 2]]), axis=1)
        case(op, lambda a: fn(a, 1), x(3, 1), zero=(0,), axis=1)
    case("cross_entropy", F.cross_entropy, x(4, 3), ints([0, 2, 1, 2]))
    case("cross_entropy", F.cross_entropy, x(1, 5), ints([4]))
    case("cross_entropy", F.cross_entropy, x(2, 1), ints([0, 0]), zero=(0,))
    case("cross_entropy", F.cross_entropy, at([[50, -50, 0], [1000, 1000, 0]]), ints([1, 0]))
    for reduction in REDUCTIONS:
        labelled(reduction)
        elementwise(reduction)


REDUCTIONS = ("mean", "sum", "none")


def reduced(reduction):
    return {} if reduction == "mean" else {"reduction": reduction}


def labelled(reduction):
    """Losses of classes: smoothing, a weight a class, labels that do not count; labels of
    pixels."""
    told = reduced(reduction)
    labels = ints([0, 2, 1, 2])
    weighed = lambda fn, **o: lambda a, i, w: fn(a, i, weight=w, reduction=reduction, **o)
    plain = lambda fn, **o: lambda a, i: fn(a, i, reduction=reduction, **o)
    if reduction != "mean":
        case("cross_entropy", plain(F.cross_entropy), x(4, 3), labels, **told)
    for op, fn in (("cross_entropy", F.cross_entropy), ("nll", F.nll_loss)):
        case(op, weighed(fn), x(4, 3), labels, c(3, low=0.25, high=3), **told)
        case(op, plain(fn), x(4, 3), ints([0, -100, 1, 2]), **told)
        case(op, plain(fn, ignore_index=2), x(4, 3), labels, ignore_index=2, **told)
        case(op, weighed(fn, ignore_index=0), x(4, 3), labels, c(3, low=0.25, high=3),
            ignore_class_0=1, **told)
        case(op, plain(fn), x(2, 3, 2, 2), ints([[[0, 1], [2, 2]], [[1, 0], [0, 2]]]), **told)
        case(op, weighed(fn, ignore_index=1), x(2, 4, 3), ints([[0, 1, 3], [1, 2, 2]]),
            c(4, low=0.25, high=3), ignore_index=1, **told)
    case("nll", plain(F.nll_loss), x(4, 3), labels, **told)
    for smoothing in (0.1, 0.75, 1):
        case("cross_entropy", plain(F.cross_entropy, label_smoothing=smoothing), x(4, 3), labels,
            smoothing=smoothing, **told)
    case("cross_entropy", weighed(F.cross_entropy, label_smoothing=0.25), x(4, 3), labels,
        c(3, low=0.25, high=3), smoothing=0.25, **told)
    case("cross_entropy", weighed(F.cross_entropy, label_smoothing=0.25, ignore_index=2), x(4, 3),
         labels, c(3, low=0.25, high=3), smoothing=0.25, ignore_index=2, **told)
    case("cross_entropy", plain(F.cross_entropy, label_smoothing=0.5), x(2, 3, 2),
        ints([[0, 1], [-100, 2]]), smoothing=0.5, **told)
    # PyTorch's gradient of the mean of none is NaN as well
    nobody = fixed([[1, 2]]) if reduction == "mean" else at([[1, 2]])
    case("cross_entropy", plain(F.cross_entropy), nobody, ints([-100]), zero=(0,), **told)


def elementwise(reduction):
    told = reduced(reduction)
    pair = lambda fn, **o: lambda a, b: fn(a, b, reduction=reduction, **o)
    for shape in ((2, 3), (1,), (), (2, 1, 3), (0, 2)):
        if shape == (0, 2) and reduction == "mean":
            continue  # a mean of nothing
        case("mse", pair(F.mse_loss), x(*shape), x(*shape), **told)
        case("l1", pair(F.l1_loss), x(*shape), x(*shape), **told)
        case("smooth_l1", pair(F.smooth_l1_loss), x(*shape), x(*shape, low=-3), **told)
        case("bce_with_logits", pair(F.binary_cross_entropy_with_logits), x(*shape),
            x(*shape, low=0, high=1), **told)
        case("kl_div", pair(F.kl_div), x(*shape), positive(*shape), **told)
    case("mse", pair(F.mse_loss), at([1, 2, 3]), at([1, 2, 5]), **told)
    case("l1", pair(F.l1_loss), at([1, 2, 3]), at([1, 4, -5]), **told)
    for beta in (0.25, 3):
        case("smooth_l1", pair(F.smooth_l1_loss, beta=beta), x(3, 4), x(3, 4), beta=beta, **told)
    case("smooth_l1", pair(F.smooth_l1_loss), at([0, 1, 2, 3, -1]), at([0, 2, 0, 2.5, 0]), **told)
    bce = lambda a, t, *w, p=None: F.binary_cross_entropy_with_logits(a, t, *w, pos_weight=p,
        reduction=reduction)
    case("bce_with_logits", bce, at([100, -100, 0, 30, -30]), fixed([0, 1, 0.5, 1, 0]), **told)
    case("bce_with_logits", bce, x(3, 2), x(3, 2, low=0, high=1), c(3, 2, low=0.25, high=3),
        weight=1, **told)
    case("bce_with_logits", bce, x(3, 2), x(3, 2, low=0, high=1), c(2, low=0.25, high=3), weight=1,
        **told)
    case("bce_with_logits", lambda a, t, p: bce(a, t, p=p), x(3, 2), x(3, 2, low=0, high=1),
        c(2, low=0.25, high=3), pos_weight=1, **told)
    case("bce_with_logits", lambda a, t, w, p: bce(a, t, w, p=p), x(2, 3, 2),
         x(2, 3, 2, low=0, high=1), c(3, 1, low=0.25, high=3), c(2, low=0.25, high=3), weight=1,
         pos_weight=1, **told)
    case("kl_div", pair(F.kl_div, log_target=True), x(2, 3), x(2, 3), log_target=1, **told)
    case("kl_div", pair(F.kl_div), x(2, 3), fixed([[0, 0.5, 0.5], [1, 0, 0]]), **told)
    if reduction == "mean":
        batch = lambda **o: lambda a, b: F.kl_div(a, b, reduction="batchmean", **o)
        case("kl_div", batch(), x(4, 3), positive(4, 3), batch_mean=1)
        case("kl_div", batch(log_target=True), x(2, 3, 2), x(2, 3, 2), batch_mean=1, log_target=1)


# ---- training ------------------------------------------------------------------------------------


def optimiser(op, cls, betas=None, bias_lr_factor=None, bias_decay=None, grads=None, **options):
    """Five steps of a (4,5) matrix and a (5) vector, both in one row of 25 numbers, as are their
    gradients and what comes out after each step."""
    told = {**options, **({"betas": betas} if betas else {})}

    def fn(start, *grads):
        split = lambda row: (row[:20].reshape(4, 5).clone(), row[20:].clone())
        w, b = (torch.nn.Parameter(t) for t in split(start))
        group = {"params": [b]}
        if bias_lr_factor is not None:
            group["lr"] = options["lr"] * bias_lr_factor
        if bias_decay is not None:
            group["weight_decay"] = bias_decay
        optim, out = cls([{"params": [w]}, group], **told), []
        for g in grads:
            w.grad, b.grad = split(g)
            optim.step()
            out.append(torch.cat([w.detach().flatten(), b.detach()]))
        return tuple(out)

    if betas:
        options = {**options, "beta1": betas[0], "beta2": betas[1]}
    options = {k: int(v) if isinstance(v, bool) else v for k, v in options.items()}
    if bias_lr_factor is not None:
        options["bias_lr_factor"] = bias_lr_factor
    if bias_decay is not None:
        options["bias_decay"] = bias_decay
    case(op, fn, c(25), *(grads or [c(25)] * 5), **options)


def training():
    rare = [fixed([0] * 13 + [0.5] * 12), fixed([1, 0] * 12 + [-1]), fixed([0] * 25),
        fixed([-0.25] * 25), fixed([0, 2] * 12 + [0])]
    sgd, adam = torch.optim.SGD, torch.optim.Adam
    adamw, rmsprop = torch.optim.AdamW, torch.optim.RMSprop
    optimiser("sgd", sgd, lr=0.001)
    optimiser("sgd", sgd, lr=0.5)
    optimiser("sgd", sgd, lr=0.1, momentum=0.9)
    optimiser("sgd", sgd, lr=0.1, momentum=0.9, weight_decay=0.01)
    optimiser("sgd", sgd, lr=0.1, momentum=0.5, dampening=0.25)
    optimiser("sgd", sgd, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.125)
    optimiser("sgd", sgd, lr=0.1, momentum=0.9, grads=rare)
    optimiser("sgd", sgd, lr=0.1, momentum=0.9, weight_decay=0.01, bias_lr_factor=2, bias_decay=0)
    optimiser("adam", adam, lr=0.001)
    optimiser("adam", adam, lr=0.1, betas=(0.5, 0.9))
    optimiser("adam", adam, lr=0.1, betas=(0, 0.9), eps=0.001)
    optimiser("adam", adam, lr=0.1, weight_decay=0.1)
    optimiser("adam", adam, lr=0.1, grads=rare)
    optimiser("adam", adam, lr=0.1, weight_decay=0.1, bias_lr_factor=0.5, bias_decay=0.5)
    optimiser("adamw", adamw, lr=0.001)
    optimiser("adamw", adamw, lr=0.1, betas=(0.8, 0.95), weight_decay=0.5)
    optimiser("adamw", adamw, lr=0.1, weight_decay=0, eps=0.01)
    optimiser("adamw", adamw, lr=0.1, betas=(0, 0.99), grads=rare)
    optimiser("adamw", adamw, lr=0.1, weight_decay=0.5, bias_decay=0)
    optimiser("rmsprop", rmsprop, lr=0.01)
    optimiser("rmsprop", rmsprop, lr=0.1, alpha=0.5, eps=0.01)
    optimiser("rmsprop", rmsprop, lr=0.1, momentum=0.9, weight_decay=0.1)
    optimiser("rmsprop", rmsprop, lr=0.01, centered=True)
    optimiser("rmsprop", rmsprop, lr=0.01, centered=True, momentum=0.5, alpha=0.9)
    optimiser("rmsprop", rmsprop, lr=0.1, alpha=0, eps=0.01)
    optimiser("rmsprop", rmsprop, lr=0.1, grads=rare)
    optimiser("rmsprop", rmsprop, lr=0.1, weight_decay=0.1, bias_lr_factor=0.5, bias_decay=0)


    for largest in (0.5, 3, 100):
        def clipped(g):
            p = torch.nn.Parameter(torch.zeros_like(g))
            p.grad = g.clone()
            return torch.nn.utils.clip_grad_norm_([p], largest), p.grad

        case("clip_grad_norm", clipped, c(25), most=largest)
    for largest in (0.5, 10):
        case("clip_grad_value", lambda g: g.clamp(-largest, largest), c(25), most=largest)


def rates(op, make, n=12, momentum=0, warmup=0, warmup_from=None, metrics=None,
        kind=torch.optim.SGD, **options):
    """The learning rates of n counts, and the momenta of a schedule that has them."""

    def fn(*metrics):
        optim = kind([torch.nn.Parameter(torch.zeros(1))], lr=0.5,
            **({"momentum": momentum} if momentum else {}))
        key, seen = ("betas" if kind is torch.optim.Adam else "momentum"), []
        if warmup:
            line = torch.optim.lr_scheduler.LinearLR(optim, warmup_from or 1 / 3, 1.0, warmup)
            schedule = torch.optim.lr_scheduler.SequentialLR(optim, [line, make(optim)], [warmup])
        else:
            schedule = make(optim)
        for i in range(n):
            seen.append((optim.param_groups[0]["lr"], optim.param_groups[0][key]))
            optim.step()
            schedule.step(*([metrics[0][i].item()] if metrics else []))
        lrs = torch.tensor([s[0] for s in seen], dtype=torch.float64)
        momenta = [s[1] if key == "momentum" else s[1][0] for s in seen]
        return (lrs, torch.tensor(momenta, dtype=torch.float64)) if op == "one_cycle_lr" else lrs

    options.update({k: v for k, v in (("momentum", momentum), ("warmup", warmup),
        ("warmup_from", warmup_from)) if v})
    if kind is torch.optim.Adam:
        options["adam"] = 1
    case(op, fn, *([fixed(metrics)] if metrics else []), **options)


def schedules():
    lr = torch.optim.lr_scheduler
    rates("step_lr", lambda o: lr.StepLR(o, 3), every=3)
    rates("step_lr", lambda o: lr.StepLR(o, 1, 0.75), every=1, gamma=0.75)
    rates("step_lr", lambda o: lr.StepLR(o, 4, 0.5), warmup=3, every=4, gamma=0.5)
    rates("multistep_lr", lambda o: lr.MultiStepLR(o, [2, 5, 6]), milestones=(2, 5, 6))
    rates("multistep_lr", lambda o: lr.MultiStepLR(o, [4], 0.25), gamma=0.25, milestones=(4,))
    rates("multistep_lr", lambda o: lr.MultiStepLR(o, [3, 6]), warmup=2, warmup_from=0.125,
        milestones=(3, 6))
    rates("exponential_lr", lambda o: lr.ExponentialLR(o, 0.9), gamma=0.9)
    rates("exponential_lr", lambda o: lr.ExponentialLR(o, 0.5), warmup=5, gamma=0.5)
    rates("cosine_lr", lambda o: lr.CosineAnnealingLR(o, 11), steps=11)
    rates("cosine_lr", lambda o: lr.CosineAnnealingLR(o, 4, 0.125), steps=4, min_lr=0.125)
    rates("cosine_lr", lambda o: lr.CosineAnnealingLR(o, 8), warmup=4, steps=8)
    cycle = lambda **k: lambda o: lr.OneCycleLR(o, 2.0, total_steps=12, **k)
    rates("one_cycle_lr", cycle(), momentum=0.9, max_lr=2.0, steps=12)
    rates("one_cycle_lr", cycle(anneal_strategy="linear", pct_start=0.5), momentum=0.9, max_lr=2.0,
        steps=12, linear=1, pct_start=0.5)
    rates("one_cycle_lr", cycle(three_phase=True, div_factor=10, final_div_factor=100),
          momentum=0.9, max_lr=2.0, steps=12, three_phase=1, div_factor=10, final_div_factor=100)
    rates("one_cycle_lr", cycle(cycle_momentum=False), momentum=0.75, max_lr=2.0, steps=12,
        fixed_momentum=1)
    rates("one_cycle_lr", cycle(base_momentum=0.5, max_momentum=0.8), kind=torch.optim.Adam,
        max_lr=2.0, steps=12, base_momentum=0.5, max_momentum=0.8)
    falls = [4, 3, 3, 3, 2.75, 2.75, 2.75, 2.75, 2.75, 1, 1, 1]
    for options in ({}, {"patience": 1}, {"patience": 1, "cooldown": 2, "factor": 0.5},
                    {"patience": 1, "threshold": 0.125},
                    {"patience": 1, "threshold": 0.5, "absolute": True},
                    {"patience": 1, "factor": 0.5, "min_lr": 0.25},
                    {"patience": 2, "maximise": True},
                    {"patience": 1, "maximise": True, "absolute": True, "threshold": 0.25},
                    {"patience": 1, "eps": 0.25, "factor": 0.5},
                    {"patience": 0, "threshold": 0, "factor": 0.75}):
        told = dict(options)
        mode = "max" if told.pop("maximise", 0) else "min"
        threshold_mode = "abs" if told.pop("absolute", 0) else "rel"
        rates("plateau_lr", lambda o: lr.ReduceLROnPlateau(o, mode, threshold_mode=threshold_mode,
            **told), metrics=falls, **options)


def main():
    torch.set_num_threads(1)
    for family in (arithmetic, unary, reductions, movement, picked, matrices, convolutions, pooling,
            normalisation, losses, training, schedules):
        family()
    text = "cases %d\n%s" % (len(cases), "".join(cases))
    with open(os.path.join(HERE, "ops.txt"), "w") as f:
        f.write(text)
    print(len(cases), "cases,", len(text), "bytes")


if __name__ == "__main__":
    sys.exit(__doc__) if len(sys.argv) > 1 else main()
