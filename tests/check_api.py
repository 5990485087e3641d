#!/usr/bin/env python3
"""Has others speak with the service: schemathesis holds its answers to its OpenAPI description, NVIDIA's client infers by KServe v2,
NVIDIA's schema reads what is written for Triton, and tus's own client sends a video in parts.

    python3 tests/check_api.py TARGET_FOLDER [--examples N]

Needs the packages of tests/api/requirements.txt. TARGET_FOLDER has `unscene-serve` and `unscene-export`.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

import numpy
import tritonclient.http as triton
from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig
from tritonclient.utils import InferenceServerException
from tusclient.client import TusClient

ROOT = Path(__file__).resolve().parent.parent
FIXTURES = ROOT / "serve/tests/fixtures"
BUNDLES = [FIXTURES / "tiny", FIXTURES / "detector", ROOT / "crates/engine/tests/fixtures/localizer"]
GRAPHS = ["tiny", "detector", "localizer.proposal", "localizer.head"]


def serve(program, jobs):
    bundles = [part for bundle in BUNDLES for part in ("--bundle", str(bundle))]
    process = subprocess.Popen([program, "--addr", "127.0.0.1:0", "--device", "cpu", "--jobs", jobs, *bundles], stderr=subprocess.PIPE, text=True)
    for line in process.stderr:
        if "listening on http://" in line:
            threading.Thread(target=lambda: [None for _ in process.stderr], daemon=True).start()
            return process, line.split("listening on http://")[1].split()[0]
    sys.exit(f"check_api: {program} did not start")


def check_description(address, examples):
    command = [Path(sys.executable).parent / "schemathesis", "--config-file", "schemathesis.toml", "run", f"http://{address}/openapi.json",
               "--checks", "all", "--max-examples", str(examples), "--generation-database", "none", "--warnings", "off"]
    subprocess.run([str(part) for part in command], cwd=ROOT / "tests/api", check=True, env={**os.environ, "PYTHONPATH": "."})


def infer(client, graph, values, name, binary):
    tensor = triton.InferInput(name, values.shape, "FP32")
    tensor.set_data_from_numpy(values, binary_data=binary)
    outputs = [triton.InferRequestedOutput(output["name"], binary_data=binary) for output in client.get_model_metadata(graph)["outputs"]]
    answer = client.infer(graph, [tensor], outputs=outputs, request_id="seven")
    assert answer.get_response()["id"] == "seven"
    return {output.name(): answer.as_numpy(output.name()) for output in outputs}


def check_kserve(address):
    client = triton.InferenceServerClient(address, network_timeout=120, connection_timeout=120)
    assert client.is_server_live() and client.is_server_ready()
    assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
    for graph in GRAPHS:
        assert client.is_model_ready(graph) and client.is_model_ready(graph, "1") and not client.is_model_ready(graph, "2")
        metadata = client.get_model_metadata(graph)
        given = metadata["inputs"][0]
        values = numpy.random.default_rng(7).normal(size=[3, *given["shape"][1:]]).astype(numpy.float32)
        by_json, by_bytes = (infer(client, graph, values, given["name"], binary) for binary in (False, True))
        for output in metadata["outputs"]:
            one, other = by_json[output["name"]], by_bytes[output["name"]]
            assert list(one.shape) == [3, *output["shape"][1:]] and numpy.array_equal(one, other), (graph, output)
    for graph, name, words in (("nothing", "clip", "no model named"), ("tiny", "picture", "the input is")):
        try:
            infer_input = triton.InferInput(name, [1, 1], "FP32")
            infer_input.set_data_from_numpy(numpy.zeros([1, 1], numpy.float32))
            client.infer(graph, [infer_input])
        except InferenceServerException as error:
            assert words in str(error), error
        else:
            sys.exit(f"check_api: {graph} with an input {name} was not refused")
    print(f"tritonclient: {len(GRAPHS)} graphs, JSON and bytes alike")


def check_tus(address):
    """A client that is stopped after a part, and another that goes on."""
    client, video = TusClient(f"http://{address}/v1/uploads?tasks=classify"), str(FIXTURES / "blue.mp4")
    first = client.uploader(video, chunk_size=1000, metadata={"filename": "blue.mp4"})
    first.upload_chunk()
    second = client.uploader(video, chunk_size=1000, url=first.url)
    assert second.offset == 1000, second.offset
    second.upload()
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        job = json.load(urllib.request.urlopen(first.url.replace("/uploads/", "/jobs/"), timeout=60))
        if job["state"] == "done":
            best = job["result"]["classify"]["predictions"][0]["label"]
            assert (job["parameters"], best) == ("tasks=classify", "blue"), job
            print("tus's client: a video in parts, by two")
            return
        time.sleep(0.05)
    sys.exit(f"check_api: an upload in parts is not done: {job}")


def check_triton(program):
    with tempfile.TemporaryDirectory() as repository:
        for bundle in BUNDLES:
            subprocess.run([program, "--bundle", str(bundle), "--triton", repository], check=True, stdout=subprocess.DEVNULL)
        for graph in GRAPHS:
            config = text_format.Parse((Path(repository) / graph / "config.pbtxt").read_text(), ModelConfig())
            assert config.name == graph and config.max_batch_size > 1 and config.HasField("dynamic_batching"), config
            assert (Path(repository) / graph / "1" / "model.onnx").is_file()
    print(f"Triton's schema: {len(GRAPHS)} models")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("target", type=Path)
    parser.add_argument("--examples", type=int, default=20, help="requests that schemathesis makes up for each route and phase")
    args = parser.parse_args()
    check_triton(str(args.target / "unscene-export"))
    with tempfile.TemporaryDirectory() as jobs:
        process, address = serve(str(args.target / "unscene-serve"), jobs)
        try:
            check_kserve(address)
            check_tus(address)
            check_description(address, args.examples)
        finally:
            process.terminate()
            process.wait()
    if process.returncode:
        sys.exit(f"check_api: the service ended with {process.returncode}")


if __name__ == "__main__":
    main()
