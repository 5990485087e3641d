"""A page in Debian's Chromium that notes whatever a page of ours must not do."""

import base64
import colorsys
import contextlib
import io
import json
import time

from axe_playwright_python.sync_playwright import Axe
from PIL import Image

CHROMIUM = "/usr/bin/chromium"
# A camera that shows a test picture; no sandbox, since tests run as root in containers.
FLAGS = ["--no-sandbox", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream", "--autoplay-policy=no-user-gesture-required"]
# Far longer than anything here takes.
WAIT_S = 120
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
RULES = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]}}
NOTE_VIOLATIONS = """
window.violations = [];
addEventListener("securitypolicyviolation", (event) => violations.push(`${event.violatedDirective} ${event.blockedURI}`));
"""


def launch(playwright):
    return playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)


@contextlib.contextmanager
def visit(browser, url, allowed=(), scheme="light", viewport=DESKTOP, path=""):
    """The page, loaded. Afterwards: no error on the console but those with an allowed word, no violation of its policy, and no request
    to another host."""
    context = browser.new_context(color_scheme=scheme, viewport=viewport, permissions=["camera", "clipboard-read", "clipboard-write"])
    page = context.new_page()
    page.set_default_timeout(1000 * WAIT_S)
    wrong = []

    def note(message):
        # The tests read the canvas back; the page never does.
        if message.type in ("error", "warning") and not any(word in message.text for word in [*allowed, "willReadFrequently"]):
            wrong.append(f"console: {message.text}")

    page.on("console", note)
    page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
    page.on("request", lambda request: request.url.startswith((url, "blob:" + url, "data:")) or wrong.append(f"request: {request.url}"))
    page.add_init_script(NOTE_VIOLATIONS)
    page.goto(url + path)
    page.wait_for_selector("#settings fieldset, dialog[open]")
    yield page
    wrong += page.evaluate("violations")
    assert not wrong, "\n".join(wrong)
    context.close()


def check_axe(page, where):
    """No violation of WCAG 2.1 AA, as far as axe-core finds them."""
    found = Axe().run(page, options=RULES).response["violations"]
    for violation in found:
        nodes = [json.dumps({"target": node["target"], "why": node["failureSummary"]}) for node in violation["nodes"][:4]]
        print(f"{where}: {violation['id']}: {violation['help']}", *nodes, sep="\n  ")
    assert not found, f"axe-core: {where}"


def until(page, condition, arg=None):
    """Waits until an expression, or a function of `arg`, is so. (Playwright's own way to wait needs what the page's policy forbids.)"""
    deadline = time.monotonic() + WAIT_S
    while not page.evaluate(condition, arg):
        assert time.monotonic() < deadline, f"it never came about that {condition}"
        page.wait_for_timeout(20)


def give(page, video, chooser="#file"):
    page.set_input_files(chooser, str(video))


def drop(page, video):
    """Drops a file somewhere on the page."""
    page.evaluate(
        """([name, text]) => {
            const files = new DataTransfer();
            files.items.add(new File([Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0))], name, { type: "video/mp4" }));
            for (const kind of ["dragover", "drop"]) {
                document.body.dispatchEvent(new DragEvent(kind, { dataTransfer: files, bubbles: true, cancelable: true }));
            }
        }""",
        [video.name, base64.b64encode(video.read_bytes()).decode()],
    )


def wait_until_done(page):
    """Waits for results, and gives the job's id."""
    until(page, "document.getElementById('status').textContent === 'Done.'")
    return page.evaluate("location.hash.slice('#job='.length).split(',')[0]")


def seek(page, time_s):
    """Shows a time of the video, and waits until the frame is there and what belongs to it is drawn."""
    page.evaluate(
        """async (time_s) => {
            const video = document.getElementById("video");
            while (!video.readyState) await new Promise((resolve) => setTimeout(resolve, 10));
            const seeked = new Promise((resolve, reject) => {
                video.addEventListener("seeked", resolve, { once: true });
                video.addEventListener("error", () => reject(new Error("the browser cannot go there")), { once: true });
            });
            video.currentTime = time_s;
            await seeked;
            await new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
        }""",
        time_s,
    )


def canvas_pixels(page, points):
    """RGBA of the canvas at points, which are shares of its width and height."""
    return page.evaluate(
        """(points) => {
            const canvas = document.getElementById("overlay");
            const context = canvas.getContext("2d");
            const inside = (share, side) => Math.max(0, Math.min(side - 1, Math.floor(share * side)));
            return points.map(([x, y]) => [...context.getImageData(inside(x, canvas.width), inside(y, canvas.height), 1, 1).data]);
        }""",
        points,
    )


def tab_through(page):
    """Where Tab leads from the top of the page until its end; each stop has an outline."""
    # The job stays, and the focus is nowhere.
    page.reload()
    wait_until_done(page)
    stops = []
    for _ in range(120):
        page.keyboard.press("Tab")
        stop, is_seen = page.evaluate("""() => {
            const at = document.activeElement;
            const shown = at.classList.contains("unseen") ? at.nextElementSibling : at;
            const { outlineStyle, outlineWidth } = getComputedStyle(shown);
            const name = [at.id, at.name, at.className, at.textContent.trim().slice(0, 20), at.tagName].filter((part) => part);
            return [at === document.body ? null : at.id || name.join("|"), outlineStyle !== "none" && parseFloat(outlineWidth) >= 1];
        }""")
        if stop is None or stops[:1] == [stop]:
            break
        # The video's own buttons are inside of it.
        assert is_seen or stop == "video", f"the focus on {stop} is not seen"
        stops.append(stop)
    return stops


def screenshot(page, selector):
    return Image.open(io.BytesIO(page.locator(selector).screenshot())).convert("RGB")


def class_colour(index):
    """The colour of a class, as the page's dom.js has it."""
    hue = round((205 + index * 137.508) % 360)
    return [round(255 * part) for part in colorsys.hls_to_rgb(hue / 360, 0.70, 0.90)]


def is_near(found, expected, tolerance=24):
    return all(abs(a - b) <= tolerance for a, b in zip(found, expected))
