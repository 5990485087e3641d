#!/usr/bin/env python3
"""Compares an alternating iteration of pretraining with the same model and step in PyTorch eager, on the same threads.

    cargo build --release -p unscene-training-benchmark
    python3 benchmarks/training_peers.py target/release/unscene-training-benchmark [--rounds 7]

An ordinary batch (cross-entropy, and a four-layer adversary behind gradient reversal), then a masked one (entropy), SGD with
momentum after each, on tensors that are ready. Both programs stay up and take turns; reported is the median over rounds of
(PyTorch's seconds / ours): above 1 means that ours is faster.
"""

import argparse
import json
import os
import statistics
import sys
import time

from decode_peers import Peer

# Name, arch, width, frames, size, batch, iterations in a round.
CASES = [
    ("r3d18-hara, 8 x 3 x 16 x 112 x 112", "r3d18-hara", 1.0, 16, 112, 8, 1),
    ("r3d10-hara at a quarter, 32 x 3 x 8 x 56 x 56", "r3d10-hara", 0.25, 8, 56, 32, 4),
]
CLASSES, SCENES = 200, 365


def serve_peer(arch, width, frames, size, batch, iterations, device="cpu"):
    import torch
    from torch import nn
    from torch.nn import functional

    from peers.r3d import Net

    torch.manual_seed(0)

    class Reverse(torch.autograd.Function):
        @staticmethod
        def forward(context, x):
            return x.view_as(x)

        @staticmethod
        def backward(context, gradient):
            return -0.5 * gradient

    net = Net(arch, width, CLASSES).to(device)
    adversary, inputs = [], net.fc.in_features
    for _ in range(3):
        adversary += [nn.Linear(inputs, 512), nn.BatchNorm1d(512), nn.ReLU()]
        inputs = 512
    adversary = nn.Sequential(*adversary, nn.Linear(inputs, SCENES)).to(device)
    parameters = [*net.parameters(), *adversary.parameters()]
    optimizer = torch.optim.SGD(parameters, lr=0.001, momentum=0.9, weight_decay=1e-5)
    clips, masked = (50 * torch.randn(batch, 3, frames, size, size, device=device) for _ in range(2))
    labels = torch.arange(batch, device=device) % CLASSES
    scenes = torch.randn(batch, SCENES, device=device).softmax(1)
    for _ in sys.stdin:
        start = time.perf_counter()
        for _ in range(iterations):
            optimizer.zero_grad()
            logits, features = net(clips)
            action = functional.cross_entropy(logits, labels)
            scene = functional.cross_entropy(adversary(Reverse.apply(features)), scenes)
            (action + scene).backward()
            optimizer.step()
            loss = action.item()
            optimizer.zero_grad()
            log = net(masked)[0].log_softmax(1)
            entropy = -(log.exp() * log).sum(1).mean()
            (-entropy).backward()
            optimizer.step()
            entropy.item()
        seconds = (time.perf_counter() - start) / iterations
        print(json.dumps({"seconds": seconds, "loss": loss}), flush=True)


def compare(program, rounds):
    """Rows of (case, our median seconds, PyTorch's, median of PyTorch / ours)."""
    rows = []
    for name, *case in CASES:
        names = ["--arch", "--width", "--frames", "--size", "--batch", "--iterations"]
        given = [str(part) for pair in zip(names, case) for part in pair]
        ours, peer = Peer([program, *given]), Peer([sys.executable, __file__, "--peer", *map(str, case)])
        for runner in (ours, peer):  # one round each that is not counted
            if runner.run() is None:
                raise SystemExit(f"training_peers: {runner.process.args} does not run")
        seconds = {ours: [], peer: []}
        for round_ in range(rounds):
            for runner in (ours, peer) if round_ % 2 else (peer, ours):
                seconds[runner].append(runner.run()["seconds"])
        ratio = statistics.median(p / o for p, o in zip(seconds[peer], seconds[ours]))
        rows.append((name, statistics.median(seconds[ours]), statistics.median(seconds[peer]), ratio))
        for runner in (ours, peer):
            runner.process.stdin.close()
            runner.process.wait()
    return rows


def main():
    if len(sys.argv) > 1 and sys.argv[1] == "--peer":
        arch, width, *sizes = sys.argv[2:]
        return serve_peer(arch, float(width), *map(int, sizes))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", help="the built benchmark")
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    for name, ours, peer, ratio in compare(os.path.abspath(arguments.program), arguments.rounds):
        print(f"{name:<48} {ours:.3f} s  PyTorch {peer:.3f} s  PyTorch / ours {ratio:.3f}")


if __name__ == "__main__":
    main()
