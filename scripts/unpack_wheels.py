"""Fetches libtorch and ONNX Runtime as pinned PyPI wheels and unpacks only the native libraries into .deps/.

.deps/libtorch/{include,lib}        what LIBTORCH points at
.deps/onnxruntime/lib               what ORT_DYLIB_PATH points at

The wheels are x86-64 Linux; their Python tag does not matter, because no Python code of theirs is used.
"""

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DEPS = ROOT / ".deps"
PLATFORMS = [f"manylinux_2_{minor}_x86_64" for minor in (28, 27, 26, 25, 24, 18, 17)] + ["manylinux2014_x86_64"]
# The CPU half of libtorch: what a CPU build loads, a tenth of the whole.
CPU_TORCH_LIBRARIES = {"libtorch_cpu.so", "libc10.so", "libgomp.so.1"}
# What ONNX Runtime's CUDA provider needs; libtorch brings them.
CUDA_LIBRARIES = ("libcudart.", "libcublas.", "libcublasLt.", "libcufft.", "libcurand.", "libcudnn", "libnvrtc")


def download(requirements, folder):
    """Downloads the given requirement lines, each with its hash; pip refuses a wheel that differs."""
    lines = folder / "requirements.txt"
    lines.write_text("\n".join(requirements) + "\n")
    platforms = [argument for name in PLATFORMS for argument in ("--platform", name)]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--require-hashes",
               "--python-version", "3.12", "--implementation", "cp", *platforms, "-d", str(folder), "-r", str(lines)]
    if subprocess.run(command).returncode:
        sys.exit("deps: pip could not fetch the wheels named above; check the network, or set LIBTORCH and "
                 "ORT_DYLIB_PATH to libraries of your own (libtorch 2.11.0, ONNX Runtime 1.17 or newer)")
    return sorted(folder.glob("*.whl"))


def unpack(wheel, wanted, into):
    """Extracts the members that `wanted` maps to a path (None leaves one out)."""
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.infolist():
            target = None if member.is_dir() else wanted(member.filename)
            if target:
                path = into / target
                path.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(member) as source, open(path, "wb") as sink:
                    shutil.copyfileobj(source, sink, 1 << 20)


def libtorch_member(kind):
    def wanted(name):
        parts = Path(name).parts
        library = parts[-1]
        if parts[:2] == ("torch", "include"):
            return Path(*parts[1:])
        if parts[:2] == ("torch", "lib") and ".so" in library:
            if library == "libtorch_python.so":
                return None
            if kind == "gpu" or library in CPU_TORCH_LIBRARIES:
                return Path("lib", library)
        if parts[0] == "nvidia" and ".so" in library:
            if kind == "gpu" or library in ("libcudart.so.13", "libcupti.so.13"):
                return Path("lib", library)
        return None
    return wanted


def onnxruntime_member(name):
    parts = Path(name).parts
    if parts[:2] == ("onnxruntime", "capi") and parts[-1].startswith("libonnxruntime"):
        return Path("lib", parts[-1])
    return None


def stamp_of(kind, name):
    return hashlib.sha256("\n".join([*requirements_of(kind, name), Path(__file__).read_text()]).encode()).hexdigest()


def requirements_of(kind, name):
    """The pinned wheels that .deps/NAME is made of."""
    lines = (ROOT / "scripts" / ("wheels.txt" if kind == "cpu" else "wheels-gpu.txt")).read_text().splitlines()
    lines = [line for line in lines if line and not line.startswith("#")]
    return [line for line in lines if line.startswith("onnxruntime") == (name == "onnxruntime")]


def install(kind, name, wanted, finish):
    """Fills .deps/NAME once; a stamp with the hash of what was asked for makes the next call return at once.

    The CUDA build also runs without a GPU, so that it is left where it is when the CPU build is asked for.
    """
    stamp = stamp_of(kind, name)
    folder = DEPS / name
    if (folder / ".stamp").is_file() and (folder / ".stamp").read_text() in (stamp, stamp_of("gpu", name)):
        return
    requirements = requirements_of(kind, name)
    print(f"deps: fetching {name}: {', '.join(line.split(' ')[0] for line in requirements)}", flush=True)
    DEPS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=DEPS) as scratch:
        scratch = Path(scratch)
        wheels, ready = scratch / "wheels", scratch / "ready"
        wheels.mkdir()
        for wheel in download(requirements, wheels):
            unpack(wheel, wanted, ready)
        finish(ready / "lib")
        (ready / ".stamp").write_text(stamp)
        shutil.rmtree(folder, ignore_errors=True)
        ready.rename(folder)


def finish_libtorch(kind):
    def finish(lib):
        if kind == "cpu":
            # torch-sys links `torch`, which in the full library only pulls in the others.
            (lib / "libtorch.so").write_text("INPUT(-ltorch_cpu -lc10)\n")
        (lib / "libgomp.so").symlink_to("libgomp.so.1")  # the name the linker looks for
    return finish


def finish_onnxruntime(kind):
    def finish(lib):
        versioned = next(path for path in lib.iterdir() if path.name.startswith("libonnxruntime.so."))
        (lib / "libonnxruntime.so").symlink_to(versioned.name)
        if kind == "gpu":
            # Its CUDA provider names no place to look for CUDA; the engine looks beside the library.
            cuda = Path(os.environ.get("LIBTORCH") or DEPS / "libtorch") / "lib"
            for path in sorted(cuda.glob("lib*.so.*")):
                if path.name.startswith(CUDA_LIBRARIES):
                    (lib / path.name).symlink_to(os.path.relpath(path, DEPS / "onnxruntime" / "lib"))
    return finish


def main():
    kind = sys.argv[1] if len(sys.argv) > 1 else "cpu"
    if kind not in ("cpu", "gpu"):
        sys.exit(f"deps: '{kind}' is neither cpu nor gpu")
    ours = {name: not os.environ.get(name) for name in ("LIBTORCH", "ORT_DYLIB_PATH")}
    if any(ours.values()) and (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        sys.exit(f"deps: the pinned libraries are for x86-64 Linux, this is {platform.system()} {platform.machine()}: "
                 "set LIBTORCH to a libtorch 2.11.0 and ORT_DYLIB_PATH to an ONNX Runtime library of your own")
    if ours["LIBTORCH"]:
        install(kind, "libtorch", libtorch_member(kind), finish_libtorch(kind))
    if ours["ORT_DYLIB_PATH"]:
        install(kind, "onnxruntime", onnxruntime_member, finish_onnxruntime(kind))


main()
