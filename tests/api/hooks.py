"""What schemathesis sends where the description says bytes: videos that there are, and things that are none."""

from pathlib import Path

import schemathesis
from hypothesis import strategies as st

FIXTURES = Path(__file__).resolve().parents[2] / "serve/tests/fixtures"
VIDEOS = [(FIXTURES / name).read_bytes() for name in ("red.mp4", "blue.mp4", "halves.mp4")]
LIVE = [(FIXTURES / name).read_bytes() for name in ("live.ts", "live.webm", "live.mp4")]
BYTES = st.one_of(st.sampled_from(VIDEOS), st.sampled_from([b"", b"no video", (FIXTURES / "image.png").read_bytes(), VIDEOS[0][:700]]))

schemathesis.openapi.media_type("video/mp4", BYTES)
schemathesis.openapi.media_type("video/webm", st.one_of(st.sampled_from(LIVE), BYTES))
schemathesis.openapi.media_type("application/octet-stream", BYTES)
schemathesis.openapi.media_type("application/offset+octet-stream", BYTES)


@schemathesis.serializer("application/offset+octet-stream")
def as_they_are(context, value):
    return value if isinstance(value, bytes) else str(value).encode()


@schemathesis.hook
def map_path_parameters(context, path_parameters):
    """Names that there are, more often than not."""
    if path_parameters and len(path_parameters.get("name", "")) % 2 == 0:
        return {**path_parameters, "name": "tiny", **({"version": "1"} if "version" in path_parameters else {})}
    return path_parameters
