"""The clients of soak.py: those whose requests must be answered, and those that mean harm or have bugs."""

import http.client
import json
import math
import socket
import threading
import time

from run import RESULTS

ROOT = RESULTS.parent.parent
#: Of a client for an answer; the service itself gives up after as long.
PATIENCE_S = 300
#: Uploads over 4 MiB go through files.
LARGEST = 8 << 20
#: What is asked of good videos, and how often.
ASKED = {
    "/v1/classify": 10,
    "/v1/classify?clips=true&top_k=2": 4,
    "/v1/localize": 2,
    "/v1/detect?every=16&tubes=true": 2,
    "/v1/predict?detect.every=16": 2,
}
LINES = {"Accept": "application/x-ndjson"}
NO_VIDEOS = {"audio.mp4", "huge.mp4", "picture.jpg", "picture.png"}
BOUNDARY = "----soak"


def form(video):
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="video"; filename="a"\r\n\r\n'
    return head.encode() + video + f"\r\n--{BOUNDARY}--\r\n".encode()


def padded(video, size):
    """An MP4 or MOV with a box at its end that players pass over."""
    return video + size.to_bytes(4, "big") + b"free" + bytes(size - 8)


def head(method, path, length, **headers):
    lines = [f"{method} {path} HTTP/1.1", "Host: soak", f"Content-Length: {length}"]
    return "\r\n".join(lines + [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()] + ["", ""]).encode()


def alike(one, other):
    """Whether two answers say the same, but for the time they took and for rounding."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(name == "timing" or alike(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(alike, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-3, abs_tol=1e-4)
    return one == other


class Good:
    """Requests that must be answered, each like the first of its kind."""

    def __init__(self, service, videos):
        self.service, self.videos = service, videos
        self.first, self.retried = {}, 0

    def ask(self, connection, rng):
        """What was asked, and what is wrong with the answer; None if nothing is."""
        path, name = rng.choices(list(ASKED), ASKED.values())[0], rng.choice(sorted(self.videos))
        headers, body = {}, self.videos[name]
        if name.endswith((".mp4", ".mov")) and rng.random() < 0.2:
            # As many of a few kilobytes as of a few megabytes.
            body = padded(body, int(math.exp(rng.uniform(math.log(1 << 10), math.log(LARGEST)))))
        if path.startswith("/v1/detect") and rng.random() < 0.5:
            headers |= LINES
        if rng.random() < 0.3:
            headers["Content-Type"], body = f"multipart/form-data; boundary={BOUNDARY}", form(body)
        asked = f"{path} {name} {headers}"
        while True:
            try:
                connection.request("POST", path, body, headers)
                response = connection.getresponse()
                text = response.read()
            except OSError as error:
                connection.close()
                return asked, f"no answer: {type(error).__name__}: {error}"
            except http.client.HTTPException as error:
                connection.close()
                return asked, f"half an answer: {type(error).__name__}: {error}"
            if response.status != 429:
                break
            self.retried += 1
            time.sleep(int(response.getheader("Retry-After")))
        # A task among several, or what was begun, can fail with 200.
        if response.status != 200 or b'"error":' in text:
            return asked, f"{response.status} {text[-300:]}"
        lines = text.splitlines() if "Accept" in headers else [text]
        answer = [json.loads(line) for line in lines]
        first = self.first.setdefault((path, name, "Accept" in headers), answer)
        return asked, None if alike(first, answer) else "another answer than before"


def refused(outcome):
    return isinstance(outcome, int) and 400 <= outcome < 500


def refused_or_closed(outcome):
    return outcome == "closed" or refused(outcome)


def played_or_refused(outcome):
    """Some files play up to where they are broken."""
    return outcome == 200 or refused(outcome)


def too_slow(outcome):
    """The one answer from 500 on that a client can earn: it asked for it with the time that it gave."""
    return outcome == 504


def gone(outcome):
    return outcome == "gone"


class Hostile:
    """Those that mean harm, or have bugs. Each method is one of them, and gives what came of it."""

    def __init__(self, service, videos):
        self.service = service
        self.videos = [videos[name] for name in sorted(videos)]
        self.others = [(ROOT / "tests/fixtures/video" / name).read_bytes() for name in sorted(NO_VIDEOS)]
        self.endless = (ROOT / "serve/tests/fixtures/long.mp4").read_bytes()
        #: With what may come of each.
        self.kinds = [
            (self.cut_video, played_or_refused), (self.mutated_video, played_or_refused), (self.mutated_form, played_or_refused),
            (self.other_file, refused), (self.noise_as_video, refused), (self.wrong_parameter, refused), (self.wrong_method, refused),
            (self.wrong_path, refused), (self.wrong_form, refused), (self.claims_too_much, refused), (self.huge_head, refused_or_closed),
            (self.many_headers, refused_or_closed), (self.not_http, refused_or_closed), (self.wrong_chunks, refused_or_closed),
            (self.leaves_before_its_head_ends, gone), (self.leaves_during_its_upload, gone), (self.leaves_during_the_work, gone),
            (self.dribbles, too_slow),
        ]

    def harm(self, rng):
        """What was done, what came of it, and whether that may be."""
        kind, allowed = rng.choice(self.kinds)
        outcome = kind(rng)
        return kind.__name__.replace("_", " "), outcome, outcome == 429 or allowed(outcome)

    def connect(self):
        host, port = self.service.address.split(":")
        return socket.create_connection((host, int(port)), timeout=PATIENCE_S)

    def say(self, *parts):
        """The status of the answer to these bytes; `closed` where the connection ends without one."""
        with self.connect() as stream:
            return self.send(stream, *parts)

    def send(self, stream, *parts):
        try:
            for part in parts:
                stream.sendall(part)
        except OSError:
            # What it says to the part that it has read is what counts.
            pass
        answer = b""
        try:
            while b"\r\n" not in answer and (more := stream.recv(4096)):
                answer += more
        except ConnectionError:
            pass
        except TimeoutError:
            return "silent"
        return int(answer.split()[1]) if answer.startswith(b"HTTP/") else "closed"

    def post(self, body, path="/v1/classify", **headers):
        return self.say(head("POST", path, len(body), **headers), body)

    def leave(self, rng, *parts):
        with self.connect() as stream:
            try:
                for part in parts:
                    stream.sendall(part)
                time.sleep(rng.uniform(0, 0.3))
            except OSError:
                # It was refused before.
                pass
        return "gone"

    def cut_video(self, rng):
        video = rng.choice(self.videos)
        return self.post(video[: rng.randrange(1, len(video))])

    def mutated_video(self, rng):
        video = bytearray(rng.choice(self.videos))
        for _ in range(rng.choice([1, 10, 100])):
            video[rng.randrange(len(video))] = rng.randrange(256)
        return self.post(video)

    def mutated_form(self, rng):
        body = bytearray(form(rng.choice(self.videos)))
        # Where its fields are told.
        for _ in range(3):
            body[rng.randrange(90)] = rng.randrange(256)
        return self.post(body, Content_Type=f"multipart/form-data; boundary={BOUNDARY}")

    def other_file(self, rng):
        return self.post(rng.choice(self.others))

    def noise_as_video(self, rng):
        return self.post(rng.randbytes(rng.choice([1, 100, 10_000, 1_000_000])))

    def wrong_parameter(self, rng):
        query = rng.choice(["model=none", "topk=3", "top_k=0", "top_k=many", "clips=perhaps", "stride_frames=0", "top_k=1&top_k=2", "%ff=%00"])
        return self.post(self.videos[0], f"/v1/classify?{query}")

    def wrong_method(self, rng):
        return self.say(head(rng.choice(["GET", "PUT", "DELETE", "PATCH", "BREW"]), "/v1/classify", 0))

    def wrong_path(self, rng):
        return self.post(b"", rng.choice(["/", "/v1/classify/../../etc/passwd", "/v1/%2e%2e/classify", "/v2/classify", "/v1/" + "a" * 5000]))

    def huge_head(self, rng):
        return self.say(head("POST", "/v1/classify", 0, X_Long="x" * rng.choice([10_000, 200_000, 2_000_000])))

    def many_headers(self, rng):
        return self.say(head("POST", "/v1/classify", 0, **{f"X_{number}": "x" for number in range(rng.choice([200, 5000]))}))

    def not_http(self, rng):
        # With the end of a head, or it would be waited for.
        return self.say(rng.randbytes(rng.choice([10, 1000, 100_000])), b"\r\n\r\n")

    def wrong_chunks(self, rng):
        lines = ["POST /v1/classify HTTP/1.1", "Host: soak", "Transfer-Encoding: chunked", "", rng.choice(["zz", "-1", "f" * 40]), "x", ""]
        return self.say("\r\n".join(lines).encode())

    def claims_too_much(self, rng):
        return self.say(head("POST", "/v1/classify", rng.choice([1 << 30, 1 << 40, 1 << 62])), self.videos[0])

    def wrong_form(self, rng):
        kind = rng.choice(["multipart/form-data", "multipart/form-data; boundary=x", f"multipart/mixed; boundary={BOUNDARY}"])
        return self.post(rng.choice([b"", b"hello", form(self.videos[0])[:50]]), Content_Type=kind)

    def leaves_before_its_head_ends(self, rng):
        return self.leave(rng, head("POST", "/v1/classify", 100)[: rng.randrange(60)])

    def leaves_during_its_upload(self, rng):
        video = rng.choice(self.videos)
        return self.leave(rng, head("POST", "/v1/classify", len(video)), video[: len(video) // 2])

    def leaves_during_the_work(self, rng):
        path = rng.choice(["/v1/classify", "/v1/detect", "/v1/localize", "/v1/predict"])
        return self.leave(rng, head("POST", path, len(self.endless), **(LINES if rng.random() < 0.5 else {})), self.endless)

    def dribbles(self, rng):
        stop = threading.Event()
        with self.connect() as stream:
            stream.sendall(head("POST", "/v1/classify", 1 << 20, X_Request_Timeout_S=1))

            def drip():
                try:
                    while not stop.wait(0.05):
                        stream.sendall(b"x")
                except OSError:
                    pass

            thread = threading.Thread(target=drip)
            thread.start()
            outcome = self.send(stream)
            stop.set()
            thread.join()
        return outcome
