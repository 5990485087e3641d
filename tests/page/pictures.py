"""The pictures of the page in docs/."""

from browser import DESKTOP, PHONE, give, seek, visit, wait_until_done

# Where the results of a video of a few seconds stand on one screen.
WINDOW = {**DESKTOP, "height": 1040}


def take_pictures(browser, service, video, folder):
    folder.mkdir(parents=True, exist_ok=True)
    for name, scheme, viewport in (("light", "light", WINDOW), ("dark", "dark", WINDOW), ("phone", "light", PHONE)):
        with visit(browser, service.url, scheme=scheme, viewport=viewport) as page:
            give(page, video)
            wait_until_done(page)
            seek(page, page.evaluate("video.duration * 0.4"))
            page.evaluate("scrollTo(0, 0)")
            page.wait_for_timeout(500)
            page.screenshot(path=folder / f"page-{name}.png")
            print(folder / f"page-{name}.png")
