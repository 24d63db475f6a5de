"""Records PyTorch's derivatives of orders 0 to 3 at special points, in double, for
tests/test_parity_ops.c.

    python3 tests/parity/special.py        writes special.txt beside this file

Special are 0, ties, borders, equal arguments, saturation, infinities, NaN, one number, no number,
and scalars. The file is as that of ops.py, with two differences. The gradient that comes to an
output is 1, 1.5, 2, 1, 1.5, ... And a line

    h 2,3 ...                          a derivative of order 2 of each x, in the order of the
                                       inputs; after those, of order 3

holds the gradients of a sum: of all gradients of the order before, each by 1, 1.5, 2, 1, ... Where
Gradus differs from PyTorch by intent, the case is computed by a function of PyTorch that says what
Gradus does, and gives the reason here; the header says it, too.
"""

import os
import sys

import numpy as np
import torch
import torch.nn.functional as F

from ops import HERE, INF, NAN, at, fixed, ints, option

ORDERS = 3
TINY, HUGE = 2.0**-130, 2.0**100  # a float holds both, the first as a denormal number
cases = []


def line(tag, a):
    a = np.asarray(a)
    text = "%d" if a.dtype.kind == "i" else "%.17g"
    return " ".join([tag, ",".join(map(str, a.shape)) or "-"] + [text % v for v in a.ravel()])


def weights(t):
    return (1 + torch.arange(t.numel(), dtype=torch.float64) % 3 / 2).reshape(t.shape)


def gradients(root, xs):
    if not (torch.is_tensor(root) and root.requires_grad):
        return [torch.zeros_like(t) for t in xs]
    out = torch.autograd.grad(root, xs, create_graph=True, allow_unused=True)
    return [torch.zeros_like(t) if g is None else g for t, g in zip(xs, out)]


def case(op, fn, *inputs, orders=ORDERS, differs=None, **options):
    head = " ".join(["op", op] + ["%s=%s" % (k, option(v) or "-") for k, v in options.items()])
    lines, tensors = [head], []
    for tag, a in inputs:
        tensors.append(torch.tensor(a) if tag == "i"
            else torch.tensor(a, dtype=torch.float64, requires_grad=tag == "x"))
        lines.append(line(tag, a))
    xs = [t for t, (tag, _) in zip(tensors, inputs) if tag == "x"]
    y = fn(*tensors)
    lines.append(line("j" if y.dtype in (torch.int64, torch.int32) else "y", y.detach().numpy()))
    if y.requires_grad:
        lines.append(line("u", weights(y).numpy()))
        root = (y * weights(y)).sum()
        for order in range(1, orders + 1):
            gs = gradients(root, xs)
            lines += [line("g" if order == 1 else "h", g.detach().numpy()) for g in gs]
            root = sum((g * weights(g)).sum() for g in gs)
    cases.append("\n".join(lines) + "\n")


POINTS = [0, -0.0, 1, -1, TINY, -TINY, 0.5, -0.5, 3, -3, 30, -30, 200, -200, 1000, -1000, HUGE,
    -HUGE, INF, -INF, NAN]
FINITE = POINTS[:-3]


def unary():
    for op, fn in (("neg", torch.neg), ("exp", torch.exp), ("log", torch.log),
                   ("sqrt", torch.sqrt), ("sin", torch.sin), ("cos", torch.cos),
                   ("log1p", torch.log1p), ("expm1", torch.expm1), ("relu", torch.relu),
                   ("sigmoid", torch.sigmoid), ("tanh", torch.tanh), ("softplus", F.softplus),
                   ("silu", F.silu), ("gelu", F.gelu)):
        case(op, fn, at(POINTS))
        case(op, fn, at(FINITE))
        case(op, fn, at(0.0))
        case(op, fn, at(np.zeros((0, 3))))
    case("leaky_relu", lambda x: F.leaky_relu(x, 0.25), at(POINTS), slope=0.25)
    case("sign", torch.sign, fixed(POINTS))
    for points in (POINTS, FINITE):
        case("abs", lambda x: x * torch.sign(x), at(points),
            differs="PyTorch's second derivative is not 0")
        case("erf", lambda x: torch.erf(x.clamp(-30, 30)), at(points[:20]),
            differs="higher derivatives at infinity are 0, not NaN")
        case("elu", lambda x: torch.where(x > 0, x, 1.5 * torch.expm1(torch.where(x > 0, 0.0, x))),
             at(points), alpha=1.5,
             differs="at 0 all derivatives are those from the left; PyTorch's second is 0; "
                     "at NaN they are NaN")
    case("clamp", lambda x: torch.clamp(x, -1, 3), at(POINTS), low=-1, high=3)
    case("clamp", lambda x: torch.clamp(x, 1, 1), at(POINTS), low=1, high=1)
    case("scale", lambda x: x * 0, at(POINTS), factor=0)


def binary():
    points = [0, -0.0, 1, -1, 2, -2, 0.5, INF, -INF, NAN]
    a, b = (np.array(v).ravel() for v in np.meshgrid(points, points))
    for op, fn in (("add", torch.add), ("sub", torch.sub), ("mul", torch.mul), ("div", torch.div),
                   ("maximum", torch.maximum), ("minimum", torch.minimum), ("pow", torch.pow)):
        orders = 1 if op == "pow" else ORDERS  # beyond, PyTorch multiplies 0 by infinity
        case(op, fn, at(a), at(b), orders=orders)
        case(op, fn, at(a), fixed(b), orders=orders)
        case(op, fn, fixed(a), at(b), orders=orders)
    a, b = (np.array(v).ravel() for v in np.meshgrid([0.5, 1, 2, 3], [0.5, 1, 2, -1, 3]))
    case("pow", torch.pow, at(a), at(b))
    case("pow", torch.pow, at(-a), fixed(np.round(b)))
    case("pow", lambda x, _: torch.stack([x[0] * 0 + 1, x[1], x[2] * x[2], x[3] * x[3] * x[3]]),
         at([0, 0, 0, 0]), fixed([0, 1, 2, 3]),
         differs="derivatives of whole powers at 0 are finite; PyTorch's are NaN")
    for op, fn in (("eq", torch.eq), ("ne", torch.ne), ("lt", torch.lt), ("le", torch.le),
            ("gt", torch.gt), ("ge", torch.ge)):
        case(op, lambda u, v: fn(u, v).double(), fixed(a), fixed(b))


ROWS = [[0, 0, 0], [1, 1, 0], [-INF, 0, 1], [INF, 0, 100], [-INF, -INF, -INF], [INF, INF, 0],
        [NAN, 1, 2], [200, -200, 0], [1000, 0, -1000], [HUGE, 0, -HUGE]]


def reductions():
    by = dict(axes=1)
    for op, fn in (("sum", lambda x: x.sum(1)), ("mean", lambda x: x.mean(1)),
                   ("max", lambda x: x.amax(1)), ("min", lambda x: x.amin(1)),
                   ("norm", lambda x: torch.linalg.vector_norm(x, dim=1)),
                   ("logsumexp", lambda x: torch.logsumexp(x, 1)), ("var", lambda x: x.var(1)),
                   ("std", lambda x: x.std(1))):
        for row in ROWS:
            if op == "norm" and row[:2] == [0, 0]:
                case(op, lambda x: (0 * x).sum(1), at([row]), **by,
                    differs="all derivatives at 0 are 0; from the second on, PyTorch's are NaN")
            elif op in ("norm", "std", "var") and HUGE in row:
                continue  # squares
            elif op == "var" and not np.all(np.isfinite(row)):
                # NaN, and so is each gradient; PyTorch's are infinite
                case(op, fn, fixed([row]), **by)
            else:
                case(op, fn, at([row]), **by)
        case(op, fn, at([[5 if op == "norm" else 0], [2], [-1]]), **by)
        if op not in ("max", "min"):
            case(op, fn, at(np.zeros((2, 0))), **by)
    for op, fn in (("softmax", torch.softmax), ("log_softmax", torch.log_softmax)):
        for row in ROWS:
            case(op, lambda x: fn(x, 1), at([row]), axis=1)
        case(op, lambda x: fn(x, 1), at([[0], [2]]), axis=1)
        for axis in (0, -1):
            case(op, lambda x: fn(x, axis), at(2.0), axis=axis)
    for axis in (0, -1):
        told = dict(axes=axis)
        for keepdim in (0, 1):
            for op, fn in (("sum", torch.sum), ("mean", torch.mean), ("max", torch.amax),
                           ("min", torch.amin), ("logsumexp", torch.logsumexp),
                           ("norm", lambda x, d, keepdim: torch.linalg.vector_norm(x, dim=d,
                               keepdim=keepdim))):
                case(op, lambda x: fn(x, axis, keepdim=bool(keepdim)), at(2.0), keepdim=keepdim,
                    **told)
            case("var", lambda x: torch.var(x, axis, unbiased=False, keepdim=bool(keepdim)),
                at(2.0), keepdim=keepdim, biased=1, **told)
        case("argmax", lambda x: torch.argmax(x, axis), fixed(2.0), axis=axis)
        case("squeeze", lambda x: torch.squeeze(x, axis), at(2.0), axes=axis)
        case("flip", lambda x: torch.flip(x, (axis,)), at(2.0), dims=axis)
        case("transpose", lambda x: torch.transpose(x, axis, -1), at(2.0), dims=(axis, -1))
        case("gather", lambda x, i: torch.gather(x, axis, i), at(2.0), ints(0), axis=axis)
        case("gather", lambda x, i: torch.gather(x, axis, i), at(2.0), ints([0, 0]), axis=axis)
        case("gather", lambda x, i: torch.gather(x, axis, i), at([2.0, 3]), ints(1), axis=axis)
    case("gather", lambda x, i: torch.gather(x, 1, i), at([[2.0, 3]]), ints(np.zeros(0)), axis=1)
    for order in ((0, 1), (1, 0)):
        both = [at(np.zeros(0)), at([[1, 2], [3, 4]])]
        for axis in (0, 1, -1):
            case("concat", lambda *x: torch.cat(x, axis), *[both[i] for i in order], axis=axis)
    case("concat", lambda *x: torch.cat(x, 0), at(np.zeros(0)), at(np.zeros(0)), axis=0)
    case("argmax", lambda x: torch.argmax(x, 1), fixed(np.zeros((0, 3))), axis=1)
    case("argmax", lambda x: torch.argmax(x, 1), fixed([[NAN, 1], [1, NAN], [-INF, -INF], [1, 1]]),
        axis=1)
    case("expand", lambda x: x.expand(2, -1), at([[1, 2, 3]]), shape=(2, -1))
    case("split", lambda x: torch.split(x, 2, 0)[0], at(np.zeros((0, 3))), size=2, axis=0)
    k, s = at([[[[1, 2], [3, 4]]]]), at([[[[1, -2], [0.5, 3]]]])
    for padding in (0, 1):
        case("conv_transpose2d", lambda x, k: F.conv_transpose2d(x, k, stride=1, dilation=3,
            output_padding=2, padding=padding), s, k, stride=1,
             dilation=3, output_padding=2, padding=padding)
        case("conv_transpose2d", lambda x, k: F.conv_transpose2d(x, k, stride=(1, 2),
            dilation=(2, 4), output_padding=(1, 3), padding=padding), s,
             k, stride=(1, 2), dilation=(2, 4), output_padding=(1, 3), padding=padding)


def losses():
    x = [0, 1, -1, 2, 0.5, -3, 200, -200, HUGE, -HUGE]
    for reduction in ("none", "sum"):
        told = dict(reduction=reduction)
        for t in (x, [0] * len(x), [1] * len(x)):
            case("mse", lambda a, b: F.mse_loss(a, b, **told), at(x[:-2]), at(t[:-2]), **told)
            # as of abs, PyTorch's second is not defined
            case("l1", lambda a, b: F.l1_loss(a, b, **told), at(x), at(t), orders=1, **told)
            for beta in (1, 0.5, 2):
                case("smooth_l1", lambda a, b: F.smooth_l1_loss(a, b, beta=beta, **told), at(x),
                    at(t), beta=beta, **told)
        for t in ([0] * len(x), [1] * len(x), [0.5] * len(x)):
            case("bce_with_logits", lambda a, b: F.binary_cross_entropy_with_logits(a, b, **told),
                at(x), fixed(t), **told)
        case("kl_div", lambda a, b: F.kl_div(a, b, **told), at([0, -1, -2, -INF]),
            fixed([0, 0.5, 1, 1]), **told)
    labels = ints([0, 1, 2, 0])
    logits = [[0, 0, 0], [200, -200, 0], [1000, 0, -1000], [-INF, 0, 1]]
    for weight in ([1, 0, 2], [0, 0, 0]):
        for op, fn in (("cross_entropy", F.cross_entropy), ("nll", F.nll_loss)):
            case(op, lambda a, i, w: fn(a, i, weight=w, reduction="sum"), at(logits[:3]),
                ints([0, 1, 2]), fixed(weight), reduction="sum")
            # PyTorch's gradient of the mean of nothing is NaN; that of gr_nll is 0
            kind = fixed if op == "nll" and not any(weight) else at
            case(op, lambda a, i, w: fn(a, i, weight=w), kind(logits[:3]), ints([0, 1, 2]),
                fixed(weight))
    for op, fn in (("cross_entropy", F.cross_entropy), ("nll", F.nll_loss)):
        for reduction in ("none", "mean"):
            told = {} if reduction == "mean" else dict(reduction="none")
            case(op, lambda a, i: fn(a, i, reduction=reduction), at([1, 2, 4]), ints(1), **told)
        case(op, lambda a, i: fn(a, i, reduction="none"), at(logits), labels, reduction="none")
        case(op, lambda a, i: fn(a, i, reduction="sum"), at(logits[:3]), ints([-100] * 3),
            reduction="sum")
        case(op, lambda a, i: fn(a, i), at(logits[:3]), ints([-100] * 3))


def windows():
    ties = [[[[0, 0, 1, 1], [0, 0, -INF, 1], [NAN, 2, -INF, -INF], [2, 2, -INF, -INF]]]]
    case("max_pool2d", lambda x: F.max_pool2d(x, 2), at(ties), size=2)
    case("max_pool2d", lambda x: F.max_pool2d(x, 2, padding=1, stride=1), at(ties), size=2,
        padding=1, stride=1)
    case("avg_pool2d", lambda x: F.avg_pool2d(x, 3, padding=1),
        at([[[[1, 2, 3], [4, 5, 6], [7, 8, 9]]]]), size=3, padding=1)
    one = [[1, 1, 1], [2, 2, 2], [HUGE, HUGE, HUGE], [1, 2, 4]]
    by_formula = lambda x: (x - x.mean(1, keepdim=True)) / torch.sqrt(
        x.var(1, unbiased=False, keepdim=True) + 1)
    case("layer_norm", by_formula, at(one), eps=1,
        differs="PyTorch's third derivative is wrong where the variance is 0")
    case("layer_norm", lambda x, w, b: F.layer_norm(x, (1,), w, b), at([[1], [-2], [0], [HUGE]]),
        at([2.0]), at([0.5]))
    case("layer_norm", lambda x: F.layer_norm(x, (0,)), at(np.zeros((3, 0))))
    case("group_norm", lambda x: F.group_norm(x, 1), at([[1, 1], [0, 3]]), groups=1)


def main():
    torch.set_num_threads(1)
    for family in (unary, binary, reductions, losses, windows):
        family()
    text = "cases %d\n%s" % (len(cases), "".join(cases))
    with open(os.path.join(HERE, "special.txt"), "w") as f:
        f.write(text)
    print(len(cases), "cases,", len(text), "bytes")


if __name__ == "__main__":
    sys.exit(__doc__) if len(sys.argv) > 1 else main()
