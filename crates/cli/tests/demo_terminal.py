"""How the demo ends: usage: demo_terminal.py SCRIPTS UNSCENE BUNDLE VIDEO"""

import os
import pty
import socket
import subprocess
import sys
import urllib.request

scripts, unscene, bundle, video = sys.argv[1:]
with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    address = "127.0.0.1:%d" % free.getsockname()[1]
program = f"""
import sys
from pathlib import Path
sys.path.insert(0, {scripts!r})
import demo
demo.ADDRESS = {address!r}
demo.Demo({unscene!r}, None).serve([Path({bundle!r})], Path({video!r}), "classify?top_k=1", "done: open it")
"""
# Where tests run in the background, SIGINT is ignored by whatever they start, unless it is told otherwise.
command = ["env", "--default-signal=INT", sys.executable, "-c", program]

elsewhere = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, timeout=300)
assert elsewhere.returncode == 0 and '"label": "red"' in elsewhere.stdout, elsewhere
assert "done: open it" in elsewhere.stdout and "Ctrl-C" not in elsewhere.stdout, elsewhere.stdout

child, terminal = pty.fork()
if child == 0:
    os.execvp(command[0], command)
said = ""
while "Ctrl-C ends the service" not in said:
    said += os.read(terminal, 65536).decode(errors="replace")
assert "done: open it" in said and f"http://{address}/" in said, said
page = urllib.request.urlopen(f"http://{address}/", timeout=60).read().decode()
assert "<title>" in page, page
os.write(terminal, b"\x03")
try:
    while os.read(terminal, 65536):
        pass
except OSError:
    # So a terminal says that nobody is left.
    pass
_, status = os.waitpid(child, 0)
assert os.waitstatus_to_exitcode(status) == 0, status
with socket.socket() as asked:
    assert asked.connect_ex((address.split(":")[0], int(address.split(":")[1]))), "somebody still listens"
