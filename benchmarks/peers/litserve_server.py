#!/usr/bin/env python3
"""The peer of serve_peers.py: a bundle of r3dN-hara behind LitServe, decoded by PyAV, run by ONNX Runtime or PyTorch.

    python3 benchmarks/peers/litserve_server.py BUNDLE RUN --engine onnxruntime --port 8000 [--batch 4] [--workers 2]

POST the video to /predict. It is prepared as the bundle's manifest says; the answer has the five best
classes by the mean of the clips' probabilities. The workers share the cores. `--batch` is both the requests that LitServe gathers and
the clips in a run of the network.
"""

import argparse
import io
import json
import os
import struct
from pathlib import Path
from typing import Annotated

import av
import litserve
import numpy as np
from av.video.reformatter import VideoReformatter
from fastapi import Body

#: Seconds that a worker waits for a batch to fill.
BATCH_TIMEOUT_S = 0.02
TOP = 5


def onnxruntime_model(bundle, manifest, threads):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # Threads that wait by spinning after a run would take the decoder's time.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    session = onnxruntime.InferenceSession(bundle / manifest["graphs"][0]["file"], options, providers=["CPUExecutionProvider"])
    return lambda clips: session.run(["logits"], {"clip": clips})[0]


def pytorch_model(run, manifest, threads):
    import torch
    from r3d import Net

    torch.set_num_threads(threads)
    model = manifest["model"]
    net = Net(model["arch"], model["width"], model["classes"]).eval()
    weights = {name: torch.from_numpy(value) for name, value in safetensors(run / "weights.safetensors").items()}
    missing, unexpected = net.load_state_dict(weights, strict=False)
    if unexpected or any(not name.endswith("num_batches_tracked") for name in missing):
        raise SystemExit(f"litserve_server: the weights are of another network: {missing} are missing, {unexpected} unexpected")

    def run_clips(clips):
        with torch.inference_mode():
            return net(torch.from_numpy(clips))[0].numpy()

    return run_clips


def safetensors(path):
    data = path.read_bytes()
    (length,) = struct.unpack_from("<Q", data)
    tensors = json.loads(data[8 : 8 + length])
    tensors.pop("__metadata__", None)

    def tensor(info):
        if info["dtype"] != "F32":
            raise SystemExit(f"litserve_server: {path} has a tensor of {info['dtype']}")
        begin, end = (8 + length + offset for offset in info["data_offsets"])
        return np.frombuffer(data[begin:end], np.float32).reshape(info["shape"]).copy()

    return {name: tensor(info) for name, info in tensors.items()}


class Classify(litserve.LitAPI):
    def __init__(self, arguments):
        super().__init__(max_batch_size=arguments.batch, batch_timeout=BATCH_TIMEOUT_S if arguments.batch > 1 else 0.0)
        self.arguments = arguments
        self.threads = max(1, len(os.sched_getaffinity(0)) // arguments.workers)

    def setup(self, device):
        self.manifest = json.loads((self.arguments.bundle / "manifest.json").read_text())
        if self.manifest["fps"] is not None or self.manifest["input"]["channels"] != "RGB":
            raise SystemExit("litserve_server: only bundles that take every frame, as RGB, can be served")
        if self.arguments.engine == "onnxruntime":
            self.model = onnxruntime_model(self.arguments.bundle, self.manifest, self.threads)
        else:
            self.model = pytorch_model(self.arguments.run, self.manifest, self.threads)
        self.reformatter = VideoReformatter()

    def decode_request(self, request: Annotated[bytes, Body()]):
        """A video's clips, each 3 x frames x height x width."""
        frames, stride = self.frames(request), self.manifest["stride_frames"]
        length = self.manifest["input"]["frames"]
        # A clip that the video ends in goes on with its own first frames.
        indices = [start + np.arange(length) % min(length, len(frames) - start) for start in range(0, len(frames), stride)]
        return list(self.normalize(frames[np.stack(indices)]))

    def frames(self, video):
        """Every frame, scaled by its short side and cut to the middle: frames x height x width x 3."""
        size, cut = self.manifest["input"], []
        with av.open(io.BytesIO(video)) as container:
            stream = container.streams.video[0]
            stream.thread_type = "FRAME" if self.threads > 1 else "NONE"
            stream.codec_context.thread_count = self.threads
            for frame in container.decode(stream):
                short = min(frame.width, frame.height)
                width, height = (side * size["short_side"] // short for side in (frame.width, frame.height))
                # Planes: swscale has vector code for them, and keeps colours at full width.
                small = self.reformatter.reformat(frame, width, height, "gbrp", interpolation="BILINEAR").to_ndarray()
                left, top = (width - size["width"]) // 2, (height - size["height"]) // 2
                cut.append(small[top : top + size["height"], left : left + size["width"]])
        return np.stack(cut)

    def normalize(self, clips):
        size = self.manifest["input"]
        scale, mean, std = size["range"] / 255, np.float32(size["mean"]), np.float32(size["std"])
        out = np.empty((len(clips), 3, *clips.shape[1:4]), np.float32)
        for channel in range(3):
            np.multiply(clips[..., channel], np.float32(scale / std[channel]), out=out[:, channel])
            out[:, channel] -= mean[channel] / std[channel]
        return out

    def predict(self, videos):
        """The mean probabilities of each video; of one where requests are not gathered."""
        gathered, most = self.max_batch_size > 1, self.max_batch_size
        videos = videos if gathered else [videos]
        clips = np.stack([clip for video in videos for clip in video])
        logits = np.concatenate([self.model(clips[at : at + most]) for at in range(0, len(clips), most)])
        scores = np.exp(logits - logits.max(1, keepdims=True))
        scores /= scores.sum(1, keepdims=True)
        ends = np.cumsum([len(video) for video in videos])
        means = [part.mean(0) for part in np.split(scores, ends[:-1])]
        return means if gathered else means[0]

    def encode_response(self, scores):
        best = np.argsort(-scores)[:TOP]
        return {"predictions": [{"label": self.manifest["labels"][index], "score": float(scores[index])} for index in best]}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("run", type=Path, help="the bundle's run folder, with the weights for PyTorch")
    parser.add_argument("--engine", choices=["onnxruntime", "pytorch"], required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1)
    arguments = parser.parse_args()
    server = litserve.LitServer(Classify(arguments), accelerator="cpu", workers_per_device=arguments.workers, timeout=False)
    server.run(host="127.0.0.1", port=arguments.port, log_level="warning", generate_client_file=False)


if __name__ == "__main__":
    main()
