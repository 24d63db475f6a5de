"""shapes.py: the convolutions of the sections sweep and published: drawn at random, and those of
published networks. Both are made of small networks' sizes; square pictures and kernels."""

import collections
import math
import random

Conv = collections.namedtuple("Conv", "C H F K S P D G", defaults=(1, 1))

MOST_PRODUCTS = 1.5e9  # of a call: more says nothing new, and takes long
MOST_NUMBERS = 2**24  # of an operand

BATCHES = (1, 8, 32)  # of published layers


def outputs(c):
    return (c.H + 2 * c.P - c.D * (c.K - 1) - 1) // c.S + 1


def products(n, c):
    return n * c.F * (c.C // c.G) * (outputs(c) * c.K) ** 2


def is_fair(n, c):
    numbers = n * max(c.C * c.H**2, c.F * outputs(c) ** 2)
    return products(n, c) <= MOST_PRODUCTS and numbers <= MOST_NUMBERS


def drawn(r):
    """One shape, a batch and a convolution; not every one can be computed."""
    log_uniform = lambda most: round(math.exp(r.uniform(0, math.log(most))))
    C, F, H = log_uniform(128), log_uniform(128), r.randint(5, 96)
    K = r.choice((1, 1, 2, 3, 3, 3, 3, 4, 5, 5, 7))
    S, D, G = r.choice((1, 1, 1, 2, 2, 3)), r.choice((1, 1, 1, 1, 2)), 1
    kind = r.random()
    if kind < 0.2:
        G, F = C, C  # depthwise
    elif kind < 0.3:
        G = r.choice((2, 4))
        C, F = -(-C // G) * G, -(-F // G) * G
    P = r.choice((D * (K - 1) // 2, D * (K - 1) // 2, 0, r.randint(0, K - 1)))
    return log_uniform(64), Conv(C, H, F, K, S, P, D, G)


def at_random(seed, count):
    r, found = random.Random(seed), []
    while len(found) < count:
        n, c = drawn(r)
        if c.H + 2 * c.P > c.D * (c.K - 1) and is_fair(n, c):
            found.append((n, c))
    return found


def conv(C, H, F, K, S=1, P=None, G=1):
    return Conv(C, H, F, K, S, K // 2 if P is None else P, 1, G)


def depthwise(C, H, K=3, S=1):
    return conv(C, H, C, K, S, G=C)


# The layers of small networks, by the paper. A layer that is transposed there stands as the
# convolution whose input gradient it is. DS-CNN's pictures, 25 x 5, stand as 11 x 11.
PUBLISHED = {
    "ResNet-20 and -18": [
        conv(3, 32, 16, 3), conv(16, 32, 16, 3), conv(16, 32, 32, 3, 2), conv(32, 16, 32, 3),
        conv(32, 16, 64, 3, 2), conv(64, 8, 64, 3), conv(64, 28, 128, 1, 2), conv(128, 28, 128, 3),
        conv(256, 14, 256, 3), conv(512, 7, 512, 3)],
    "SqueezeNet": [
        conv(3, 112, 96, 7, 2, 3), conv(96, 27, 16, 1), conv(16, 27, 64, 3), conv(64, 13, 256, 1)],
    "MobileNetV2": [
        conv(3, 96, 32, 3, 2), depthwise(32, 48), conv(32, 48, 16, 1), depthwise(96, 48, S=2),
        conv(144, 24, 24, 1), depthwise(144, 24), conv(32, 12, 192, 1), depthwise(192, 12, S=2),
        depthwise(384, 6), conv(384, 6, 64, 1), conv(320, 3, 1280, 1)],
    "ShuffleNetV2": [
        conv(24, 28, 58, 1), depthwise(58, 28, S=2), conv(116, 14, 116, 1), depthwise(116, 14),
        depthwise(232, 7)],
    "EfficientNet-Lite": [
        depthwise(96, 56, 5, 2), depthwise(144, 28, 5), depthwise(240, 14, 5),
        conv(240, 14, 80, 1), depthwise(672, 7, 5)],
    "DS-CNN": [conv(1, 32, 64, 4, 2, 1), depthwise(64, 11), conv(64, 11, 64, 1)],
    "U-Net": [
        conv(1, 64, 32, 3), conv(32, 64, 32, 3), conv(64, 32, 64, 3), conv(128, 16, 128, 3),
        conv(32, 64, 64, 2, 2, 0), conv(32, 64, 2, 1)],
    "DCGAN": [
        conv(256, 4, 100, 4, 1, 0), conv(128, 8, 256, 4, 2, 1), conv(64, 16, 128, 4, 2, 1),
        conv(3, 32, 64, 4, 2, 1)],
    "MNIST and CIFAR tutorials": [
        conv(1, 28, 6, 5), conv(6, 14, 16, 5, 1, 0), conv(1, 28, 32, 3, 1, 0),
        conv(32, 26, 64, 3, 1, 0), conv(3, 32, 6, 5, 1, 0), conv(16, 5, 120, 5, 1, 0),
        conv(64, 6, 64, 3, 1, 0)],
}


def published():
    layers = [c for network in PUBLISHED.values() for c in network]
    return [(n, c) for n in BATCHES for c in layers if is_fair(n, c)]
