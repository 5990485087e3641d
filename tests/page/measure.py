"""How smoothly boxes are drawn over a video: 20 of them, over 1080p at 30 frames a second, for 10 seconds."""

import json
import math
import os
import subprocess
import tempfile
from pathlib import Path

from browser import give, until, visit, wait_until_done
from service import Service

WIDTH, HEIGHT, FPS, SECONDS, BOXES = 1920, 1080, 30, 12, 20
MEASURED_S = 10
LONG_TASK_MS = 50
CATEGORIES = ["toplevel", "cc", "benchmark"]


def box(number, frame):
    """One that goes its own way."""
    x, y = ((math.sin(frame / 40 + number * phase) + 1) / 2 for phase in (1.0, 1.7))
    left, top = x * (WIDTH - 300), y * (HEIGHT - 400)
    return [left, top, left + 300, top + 400]


def answer():
    """As /v1/predict would have it."""
    of = lambda frame: [{"label": f"actor {n}", "index": n, "score": 0.9, "box": box(n, frame)} for n in range(BOXES)]
    frames = [{"frame": frame, "time_s": frame / FPS, "boxes": of(frame)} for frame in range(FPS * SECONDS)]
    video = {"duration_s": SECONDS, "width": WIDTH, "height": HEIGHT, "fps": FPS, "frames": len(frames), "clips": len(frames), "damaged_packets": 0}
    timing = {"decode_s": 1, "inference_s": 1, "total_s": 1}
    return {"detect": {"model": "measured", "task": "detect", "engine": "none", "device": "none", "video": video, "timing": timing, "frames": frames}}


def make_video(path):
    source = f"testsrc2=size={WIDTH}x{HEIGHT}:rate={FPS}:duration={SECONDS}"
    subprocess.run(["ffmpeg", "-v", "error", "-f", "lavfi", "-i", source, "-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p", str(path)], check=True)


# Plays, and notes frames that were shown and how long each took to draw; `with_boxes` is whether anything is drawn.
PLAY = """async ([kind, measured_s]) => {
    document.querySelector(`input[name=kind][value=${kind}]`).click();
    video.currentTime = 0;
    await new Promise((resolve) => video.addEventListener("seeked", resolve, { once: true }));
    const shown = [];
    const note = (now, frame) => {
        shown.push(frame.presentedFrames);
        video.requestVideoFrameCallback(note);
    };
    video.requestVideoFrameCallback(note);
    const before = video.getVideoPlaybackQuality();
    await video.play();
    await new Promise((resolve) => setTimeout(resolve, 1000 * measured_s));
    const after = video.getVideoPlaybackQuality();
    video.pause();
    return {
        dropped: after.droppedVideoFrames - before.droppedVideoFrames,
        total: after.totalVideoFrames - before.totalVideoFrames,
        shown: shown.at(-1) - shown[0] + 1,
        called: shown.length,
    };
}"""

# The time that drawing alone takes, without the browser's part.
DRAW = """async () => {
    const { Overlay } = await import("./page/overlay.js");
    const found = FOUND;
    const drawn = new Overlay(document.getElementById("overlay"));
    drawn.show(found);
    const times_ms = found.frames.map((frame) => {
        const begin = performance.now();
        drawn.draw(frame.time_s, { kind: "boxes", threshold: 0 });
        return performance.now() - begin;
    }).sort((a, b) => a - b);
    return [times_ms[times_ms.length >> 1], times_ms[Math.floor(times_ms.length * 0.99)]];
}"""


def read_trace(path):
    """Frames of the browser that were presented and dropped, and long tasks of the page's thread."""
    events = json.loads(Path(path).read_text())["traceEvents"]
    threads = {(event["pid"], event["tid"]) for event in events if event["name"] == "thread_name" and event["args"]["name"] == "CrRendererMain"}
    long_tasks = [event["dur"] / 1000 for event in events
                  if event["name"] in ("RunTask", "ThreadControllerImpl::RunTask") and (event["pid"], event["tid"]) in threads and event.get("dur", 0) > 1000 * LONG_TASK_MS]
    states = [event["args"]["frame_reporter"]["state"] for event in events if event["name"] == "PipelineReporter" and event["ph"] == "b"]
    presented = sum(state.startswith("STATE_PRESENTED") for state in states)
    return presented, states.count("STATE_DROPPED"), long_tasks


def measure(browser, program, bundles):
    found = answer()
    with tempfile.TemporaryDirectory() as folder, Service(program, bundles) as service:
        video = Path(folder) / "1080p.mp4"
        make_video(video)
        with visit(browser, service.url, viewport={"width": 1920, "height": 1400}) as page:
            page.route("**/v1/predict*", lambda route: route.fulfill(json=found))
            give(page, video)
            wait_until_done(page)
            until(page, "video.readyState >= 3")
            for kind, words in (("none", "nothing drawn"), ("boxes", f"{BOXES} boxes drawn")):
                trace = Path(folder) / f"{kind}.json"
                browser.start_tracing(page=page, path=trace, categories=CATEGORIES)
                played = page.evaluate(PLAY, [kind, MEASURED_S])
                browser.stop_tracing()
                presented, dropped, long_tasks = read_trace(trace)
                print(f"{words}: in {MEASURED_S} s the video dropped {played['dropped']} of {played['total']} frames; the page was called for "
                      f"{played['called']} of {played['shown']} that were shown")
                print(f"  the browser presented {presented} frames of its own and dropped {dropped}; tasks over {LONG_TASK_MS} ms: {len(long_tasks)}, the longest {max(long_tasks, default=0):.0f} ms")
            middle, worst = page.evaluate(DRAW.replace("FOUND", json.dumps(found["detect"])))
            print(f"drawing {BOXES} boxes takes {middle:.2f} ms in the median, {worst:.2f} ms in 99 of 100; a frame has {1000 / FPS:.1f} ms")
    print(f"load of the machine: {os.getloadavg()[0]:.1f} on {len(os.sched_getaffinity(0))} cores")
