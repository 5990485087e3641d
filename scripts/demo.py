"""The whole line on one video: make a model, export it, serve it, post the video, print the answer, stop.

usage: demo.py UNSCENE_BINARY [VIDEO]

Without VIDEO: the first video in ~/Videos, else a test pattern that comes with the project. The weights are random, so
the answer is a guess: this shows the machinery, not a trained model.
"""

import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VIDEO_ENDINGS = {".mp4", ".mov", ".mkv", ".webm", ".avi"}
ADDRESS = "127.0.0.1:8787"


def find_video():
    own = Path.home() / "Videos"
    videos = sorted(path for path in own.glob("*") if path.suffix.lower() in VIDEO_ENDINGS) if own.is_dir() else []
    return videos[0] if videos else ROOT / "tests" / "fixtures" / "video" / "h264.mp4"


def show(command):
    print("$", " ".join(str(part) for part in command), flush=True)
    return command


def wait_until_ready(server):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if server.poll() is not None:
            sys.exit(f"demo: the service ended with exit code {server.returncode}; its message is above")
        try:
            urllib.request.urlopen(f"http://{ADDRESS}/readyz", timeout=2).read()
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    sys.exit("demo: the service was not ready within a minute")


def main():
    unscene = sys.argv[1]
    video = Path(sys.argv[2]) if len(sys.argv) > 2 and sys.argv[2] else find_video()
    if not video.is_file():
        sys.exit(f"demo: there is no file {video}; give a video: make demo VIDEO=path/to/video.mp4")
    folder = Path(tempfile.mkdtemp(prefix="unscene-demo-"))
    try:
        run, bundle = folder / "run", folder / "r3d18"
        subprocess.run(show([unscene, "init", "--arch", "r3d18-hara", "--classes", "10", "--seed", "1", "--out", run]),
                       check=True)
        subprocess.run(show([unscene, "export", "--onnx", "--run", run, "--out", bundle]), check=True)
        server = subprocess.Popen(show([unscene, "serve", "--bundle", bundle, "--addr", ADDRESS]))
        try:
            wait_until_ready(server)
            url = f"http://{ADDRESS}/v1/classify?top_k=3"
            print(f"$ curl --data-binary @{video} '{url}'", flush=True)
            request = urllib.request.Request(url, data=video.read_bytes(), method="POST",
                                             headers={"Content-Type": "application/octet-stream"})
            with urllib.request.urlopen(request, timeout=300) as response:
                print(json.dumps(json.load(response), indent=2))
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(timeout=60)
    except urllib.error.HTTPError as error:
        sys.exit(f"demo: the service answered {error.code}: {error.read().decode()}")
    except subprocess.CalledProcessError as error:
        sys.exit(f"demo: the command above failed with exit code {error.returncode}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


main()
