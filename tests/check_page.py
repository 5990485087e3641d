#!/usr/bin/env python3
"""Uses the page of the service in a real browser: gives videos, reads what is drawn, seeks, cancels, reloads, by keyboard alone, too.

    python3 tests/check_page.py TARGET_FOLDER [--only NAME] [--screenshots DIR [--bundle DIR ...] [--video FILE]] [--measure]

Needs the packages of tests/page/requirements.txt and Debian's chromium. TARGET_FOLDER has `unscene-serve`. --screenshots makes the
pictures of docs/, with other bundles and another video if they are given; --measure has frames drawn over a video of 1080p, and needs
the ffmpeg command.
"""

import argparse
import hashlib
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests/page"))

from browser import (PHONE, canvas_pixels, check_axe, class_colour, drop, give, is_near, launch, screenshot,  # noqa: E402
                     seek, tab_through, until, visit, wait_until_done)
from measure import measure  # noqa: E402
from pictures import take_pictures  # noqa: E402
from service import FIXTURES, LOCALIZER, Service  # noqa: E402

BUNDLES = [FIXTURES / "maps", FIXTURES / "tiny", FIXTURES / "detector", LOCALIZER]
HALVES, LONG = FIXTURES / "halves.mp4", FIXTURES / "long.mp4"
# The service reads it, and Chromium does not.
UNPLAYABLE = ROOT / "tests/fixtures/video/mpeg4.avi"
RED_GREEN = LOCALIZER.parent / "red_green.mp4"
NO_VIDEO = {"name": "letter.mp4", "mimeType": "video/mp4", "buffer": b"This is a letter, and no video. " * 20}


def check_results(browser, service):
    """Upload, progress, bars of two models, what ran, boxes where the answer has them."""
    with visit(browser, service.url) as page:
        page.evaluate("""() => {
            window.steps = [];
            new MutationObserver(() => steps.push(document.getElementById("status").textContent))
                .observe(document.getElementById("status"), { childList: true, characterData: true, subtree: true });
        }""")
        give(page, HALVES)
        job = wait_until_done(page)
        steps = page.evaluate("steps")
        assert any(step.startswith("Uploading") for step in steps) and steps[-1] == "Done.", steps
        status, told = service.ask(f"v1/jobs/{job}")
        assert status == 200
        heads = page.locator("#bars thead th").all_inner_texts()
        assert heads == ["class", "maps", "tiny"], heads
        best = told["result"]["classify"]["predictions"][0]
        row = page.locator("#bars tbody tr").first.inner_text()
        assert row.split()[0] == best["label"] and f"{100 * best['score']:.0f} %" in row, row
        ran = page.locator("#ran").inner_text()
        for answer in told["result"].values():
            assert all(answer[part] in ran for part in ("model", "engine", "device")), ran
        check_boxes(page, told["result"]["detect"], 1.0)
        check_heat(page, told["result"]["classify"])
        curl = page.locator("#curl code").first.inner_text()
        assert curl.startswith("curl --data-binary '@halves.mp4'") and service.url in curl, curl
        page.click("#curl button >> nth=0")
        assert page.evaluate("navigator.clipboard.readText()") == curl
        page.click("#json summary >> nth=0")
        until(page, "document.querySelector('#json pre').textContent.includes('\"predictions\"')")
        check_axe(page, "results")


def check_boxes(page, detection, time_s):
    """Edges of boxes have the colour of their class where the answer says, and nothing is drawn inside; on the canvas and on the screen."""
    page.check("input[name=kind][value=boxes]")
    seek(page, time_s)
    frame = max((frame for frame in detection["frames"] if frame["time_s"] <= time_s + 0.001), key=lambda frame: frame["time_s"])
    assert frame["boxes"], frame
    wide, high = page.evaluate("[overlay.width, overlay.height]")
    edges, insides, colours = [], [], []
    for box in frame["boxes"]:
        width, height = detection["video"]["width"], detection["video"]["height"]
        left, top, right, bottom = box["box"][0] / width, box["box"][1] / height, box["box"][2] / width, box["box"][3] / height
        middle = ((left + right) / 2, (top + bottom) / 2)
        edges += [(left + 1.01 / wide, middle[1]), (right - 1.01 / wide, middle[1]), (middle[0], bottom - 1.01 / high), (middle[0], top + 1.01 / high)]
        colours += [class_colour(box["index"])] * 4
        insides.append(middle)
    for point, found, expected in zip(edges, canvas_pixels(page, edges), colours):
        assert found[3] == 255 and is_near(found, expected), (point, found, expected)
    assert all(pixel[3] == 0 for pixel in canvas_pixels(page, insides))
    picture = screenshot(page, "#stage")
    at = lambda point: picture.getpixel((min(picture.width - 1, int(point[0] * picture.width)), min(picture.height - 1, int(point[1] * picture.height))))
    # The controls of the video are in its lower half.
    upper = [(point, colour) for point, colour in zip(edges, colours) if point[1] < 0.5]
    for point, expected in upper:
        assert is_near(at(point), expected, 60), (point, at(point), expected)
    red, blue = at((0.25, 0.3)), at((0.75, 0.3))
    assert red[0] > 180 > red[2] and blue[2] > 180 > blue[0], (red, blue)
    page.check("input[name=kind][value=none]")
    assert all(pixel[3] == 0 for pixel in canvas_pixels(page, edges))
    page.check("input[name=kind][value=tubes]")
    assert all(pixel[3] == 255 for pixel in canvas_pixels(page, edges)), "tubes have a box in every frame"
    page.locator("#threshold").fill("1")
    assert all(pixel[3] == 0 for pixel in canvas_pixels(page, edges)), "no box is as sure as that"
    page.locator("#threshold").fill("0.25")


def check_heat(page, answer):
    """The picture of the evidence lies over the part of the frame that the model saw, as opaque as the slider says."""
    explanation = answer["explanations"][0]
    page.select_option("#heat-of", index=1)
    until(page, "!document.getElementById('heat').hidden && document.getElementById('heat').naturalWidth > 0")
    until(page, "time_s => Math.abs(video.currentTime - time_s) < 0.01", arg=explanation["frame_s"])
    stage, heat = (page.locator(selector).bounding_box() for selector in ("#stage", "#heat"))
    # A square in the middle of 64 x 48.
    assert abs(heat["width"] - stage["width"] * 48 / 64) < 1 and abs(heat["height"] - stage["height"]) < 1, (stage, heat)
    assert abs(heat["x"] - stage["x"] - stage["width"] / 8) < 1, (stage, heat)
    page.locator("#opacity").fill("0.3")
    assert page.evaluate("getComputedStyle(heat).opacity") == "0.3"
    page.select_option("#heat-of", index=0)
    assert page.locator("#heat").is_hidden()


def check_timeline(browser, service):
    """Segments seek; while the video plays, boxes are those of the frame that is shown."""
    with visit(browser, service.url) as page:
        drop(page, RED_GREEN)
        job = wait_until_done(page)
        result = service.ask(f"v1/jobs/{job}")[1]["result"]
        segments = sorted(result["localize"]["segments"], key=lambda segment: segment["start_s"])
        assert any(segment["start_s"] > 0 for segment in segments), segments
        buttons = page.locator("#timeline .group").first.locator("button")
        assert buttons.count() == len(segments)
        for at in range(len(segments)):
            button = buttons.nth(at)
            button.click()
            start_s = float(button.get_attribute("data-start"))
            assert any(abs(segment["start_s"] - start_s) < 1e-9 for segment in segments)
            until(page, "time_s => Math.abs(video.currentTime - time_s) < 0.02", arg=start_s)
            mark, track = page.locator(".mark").bounding_box(), page.locator(".track").first.bounding_box()
            now = (mark["x"] - track["x"]) / track["width"]
            assert abs(now - start_s / result["localize"]["video"]["duration_s"]) < 0.02, (now, start_s)
        check_step(page, result["detect"])


def check_step(page, detection):
    """Plays the video, and compares what is drawn with each frame that is shown."""
    page.check("input[name=kind][value=boxes]")
    seek(page, 0)
    frames = page.evaluate("""async () => {
        video.loop = false;
        // Slowly, so that a busy machine shows most frames.
        video.playbackRate = 0.5;
        const seen = [];
        const note = (_, frame) => {
            const data = overlay.getContext("2d").getImageData(0, 0, overlay.width, overlay.height).data;
            seen.push([frame.mediaTime, data.some((value) => value)]);
            video.requestVideoFrameCallback(note);
        };
        video.requestVideoFrameCallback(note);
        const ended = new Promise((resolve) => (video.onended = resolve));
        await video.play();
        await ended;
        return seen;
    }""")
    told = {round(frame["time_s"], 3): bool(frame["boxes"]) for frame in detection["frames"]}
    kinds = set()
    for time_s, is_drawn in frames:
        nearest = min(told, key=lambda other: abs(other - time_s))
        assert abs(nearest - time_s) < 0.003, (nearest, time_s)
        assert is_drawn == told[nearest], f"at {time_s} s boxes are {'drawn' if is_drawn else 'not drawn'}"
        kinds.add(is_drawn)
    assert len(frames) > 3 and kinds == {True, False}, frames
    print(f"  in step in all {len(frames)} frames that the browser showed, of {len(told)}")


def check_errors(browser, service):
    """What the service says is wrong is shown; the next video is taken as if nothing had been. One that only the service can read is."""
    status, problem = service.ask("v1/jobs", NO_VIDEO["buffer"])
    assert status == 415
    with visit(browser, service.url, allowed=["415"]) as page:
        page.set_input_files("#file", files=[NO_VIDEO])
        page.wait_for_selector("#error p")
        assert problem["detail"] in page.locator("#error").inner_text()
        assert page.locator("#error").get_attribute("role") == "alert"
        assert page.locator("#progress").is_hidden() and page.locator("#found").is_hidden()
        check_axe(page, "error")
        for task in ("classify", "localize", "detect"):
            page.uncheck(f"input[name={task}]")
        give(page, HALVES)
        until(page, "document.getElementById('error').textContent.includes('nothing is asked for')")
        page.check("input[name=detect]")
        page.click("#start")
        wait_until_done(page)
        assert page.locator("#error").inner_text() == "" and page.locator("#bars table").count() == 0
        page.check("input[name=classify]")
        give(page, UNPLAYABLE)
        wait_until_done(page)
        until(page, "document.getElementById('no-video-why').textContent.includes('cannot play')")
        assert page.locator("#bars tbody tr").count() == 3 and page.locator("#stage").is_visible()


def check_cancel(browser, service):
    """A job that is cancelled is gone from the service."""
    with visit(browser, service.url) as page:
        give(page, LONG)
        until(page, "location.hash && document.getElementById('status').textContent.startsWith('Looking')")
        until(page, "document.getElementById('progress').value > 0")
        # What was seen so far is shown before the end.
        until(page, "document.querySelectorAll('#bars tbody tr').length > 0")
        ids = page.evaluate("location.hash.slice('#job='.length).split(',')")
        page.click("#cancel")
        until(page, "document.getElementById('status').textContent === 'Cancelled.'")
        until(page, "!location.hash && !document.querySelector(`#jobs [data-job='${0}']`)")
        assert page.evaluate("document.activeElement.id") == "start", "the focus is not lost"
        assert page.locator("#found").is_hidden() and page.locator("#bars tr").count() == 0
        for _ in range(100):
            if all(service.ask(f"v1/jobs/{job}")[0] == 404 for job in ids):
                break
            page.wait_for_timeout(50)
        else:
            raise AssertionError("the job is still there")


def check_reload(browser, service):
    """A reload keeps the job, its results and a small video; without the video, the user gives it again. Past jobs open and go."""
    with visit(browser, service.url) as page:
        give(page, HALVES)
        job = wait_until_done(page)
        bars = page.locator("#bars").inner_text()
        page.reload()
        assert wait_until_done(page) == job
        assert page.locator("#bars").inner_text() == bars, "both models, as before"
        until(page, "video.readyState >= 1")
        page.evaluate("new Promise((resolve) => (indexedDB.deleteDatabase('unscene').onsuccess = resolve))")
        page.reload()
        assert wait_until_done(page) == job
        assert page.locator("#again-label").is_visible() and page.evaluate("!video.hasAttribute('src')")
        check_axe(page, "results without the video")
        give(page, RED_GREEN, "#again")
        until(page, "document.getElementById('no-video-why').textContent.includes('another size')")
        give(page, HALVES, "#again")
        until(page, "video.readyState >= 2")
        assert page.locator("#no-video").is_hidden()
        check_boxes(page, service.ask(f"v1/jobs/{job}")[1]["result"]["detect"], 0.5)
        give(page, RED_GREEN)
        until(page, "id => !location.hash.includes(id)", arg=job)
        other = wait_until_done(page)
        page.click(f"#jobs li[data-job='{job}'] a")
        until(page, "id => location.hash.includes(id)", arg=job)
        wait_until_done(page)
        page.go_back()
        until(page, "id => location.hash.includes(id)", arg=other)
        wait_until_done(page)
        page.click(f"#jobs li[data-job='{job}'] button")
        until(page, "id => !document.querySelector(`#jobs [data-job='${id}']`)", arg=job)
        assert service.ask(f"v1/jobs/{job}")[0] == 404


def check_keyboard(browser, service):
    """Everything can be reached and used by keyboard, and the focus is seen."""
    with visit(browser, service.url) as page:
        choosers = []
        page.on("filechooser", lambda chooser: choosers.append(chooser))
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.id") == "file"
        page.keyboard.press("Space")
        for _ in range(1000):
            if choosers:
                break
            page.wait_for_timeout(20)
        choosers[0].set_files(str(RED_GREEN))
        wait_until_done(page)
        reached = tab_through(page)
        for wanted in ("file", "camera-open", "video", "threshold", "heat-of", "opacity", "start"):
            assert wanted in reached, (wanted, reached)
        for wanted in ("span", "Copy", "SUMMARY", "Delete", "classify", "classify.model", "beside", "detect.threshold", "kind", "openapi.json"):
            assert any(wanted in stop.split("|") for stop in reached), (wanted, reached)
        group = page.locator("#timeline .group").first.locator("button")
        group.first.focus()
        page.keyboard.press("End")
        last = page.evaluate("document.activeElement.dataset.start")
        page.keyboard.press("Enter")
        until(page, "time_s => Math.abs(video.currentTime - time_s) < 0.02", arg=float(last))
        page.keyboard.press("Home")
        assert page.evaluate("document.activeElement.tabIndex") == 0 and page.evaluate("document.activeElement.dataset.start") <= last
        page.focus("#threshold")
        before = page.locator("#threshold").input_value()
        page.keyboard.press("ArrowRight")
        assert page.locator("#threshold").input_value() > before


def check_camera(browser, service):
    """Records from the camera; a recording does not say how long it is, and can be seeked in all the same."""
    with visit(browser, service.url) as page:
        page.uncheck("input[name=localize]")
        page.click("#camera-open")
        until(page, "document.getElementById('camera-preview').videoWidth > 0")
        check_axe(page, "camera")
        page.click("#camera-record")
        job = wait_until_done(page)
        video = service.ask(f"v1/jobs/{job}")[1]["result"]["detect"]["video"]
        assert 2 < video["duration_s"] < 7 and video["frames"] > 10, video
        until(page, "Number.isFinite(video.duration) && video.currentTime === 0")
        assert page.locator("#camera").is_hidden()


def check_access(browser, program):
    """A service with keys asks for one, and keeps it for the tab; one without jobs answers at once. Under a path of a proxy."""
    key = hashlib.sha256(b"sesame").hexdigest()
    with tempfile.TemporaryDirectory() as folder:
        keys = Path(folder) / "keys.toml"
        keys.write_text(f'[[key]]\nname = "shop"\nsha256 = "{key}"\nscopes = ["predict"]\n')
        with Service(program, BUNDLES[:1], "--api-keys", keys) as service, visit(browser, service.url, allowed=["401"]) as page:
            page.wait_for_selector("#key[open]")
            check_axe(page, "key")
            page.fill("#key-input", "wrong")
            page.keyboard.press("Enter")
            until(page, "document.getElementById('key-why').textContent.includes('not known')")
            page.fill("#key-input", "sesame")
            page.keyboard.press("Enter")
            page.wait_for_selector("#settings fieldset")
            give(page, HALVES)
            wait_until_done(page)
            assert page.locator("#bars tbody tr").count() == 3 and page.locator("#past").is_hidden()
            assert "$UNSCENE_KEY" in page.locator("#curl code").inner_text()
            assert "sesame" not in page.content() and page.evaluate("localStorage.length") == 0
            assert page.evaluate("Object.values(sessionStorage)") == ["sesame"]
            page.reload()
            page.wait_for_selector("#settings fieldset")
    with Service(program, BUNDLES[:1]) as service:
        context = browser.new_context()
        under = service.url + "under/a/path/"
        context.route(under + "**", lambda route: route.continue_(url=route.request.url.replace("under/a/path/", "")))
        page = context.new_page()
        page.goto(under)
        give(page, HALVES)
        wait_until_done(page)
        assert under in page.locator("#curl code").inner_text()
        context.close()


def check_looks(browser, service):
    """axe-core in light and dark, on a desk and on a phone, where nothing is wider than the screen."""
    for scheme in ("light", "dark"):
        for viewport in (None, PHONE):
            options = {"scheme": scheme, **({"viewport": viewport} if viewport else {})}
            with visit(browser, service.url, **options) as page:
                where = f"{scheme}, {'phone' if viewport else 'desk'}"
                check_axe(page, f"empty, {where}")
                give(page, RED_GREEN)
                wait_until_done(page)
                check_axe(page, f"results, {where}")
                assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), where


CHECKS = [check_results, check_timeline, check_errors, check_cancel, check_reload, check_keyboard, check_camera, check_looks]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("target", type=Path)
    parser.add_argument("--only", help="the one check of this name")
    parser.add_argument("--screenshots", type=Path, metavar="DIR")
    parser.add_argument("--bundle", type=Path, action="append", help="of the pictures")
    parser.add_argument("--video", type=Path, help="of the pictures")
    parser.add_argument("--measure", action="store_true")
    args = parser.parse_args()
    program = args.target / "unscene-serve"
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as jobs:
        browser = launch(playwright)
        if args.screenshots:
            with Service(program, args.bundle or BUNDLES, "--jobs", jobs) as service:
                return take_pictures(browser, service, args.video or RED_GREEN, args.screenshots)
        if args.measure:
            return measure(browser, program, BUNDLES)
        passed = 0
        with Service(program, BUNDLES, "--jobs", jobs) as service:
            for check in CHECKS:
                if args.only in (None, check.__name__):
                    print(f"{check.__name__}: {check.__doc__}", flush=True)
                    check(browser, service)
                    passed += 1
        if args.only in (None, check_access.__name__):
            print(f"{check_access.__name__}: {check_access.__doc__}", flush=True)
            check_access(browser, program)
            passed += 1
        browser.close()
    print(f"page: {passed} passed, 0 failed")


if __name__ == "__main__":
    main()
