# The two commands of the README are `make demo` and `make test`. Each sets up what it needs.

CARGO ?= cargo
# Where cargo builds; looked up only when needed.
TARGET = $(shell $(CARGO) metadata --format-version 1 --no-deps | python3 -c 'import json,sys; print(json.load(sys.stdin)["target_directory"])')
.DEFAULT_GOAL := help
.PHONY: help deps demo demo-localize test lint doc check-links check-api check-page check-onnx bench bench-serve soak fuzz

help: ## Lists the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

deps: ## Debian packages, libtorch and ONNX Runtime (GPU=1: the CUDA builds); quick when nothing is to do
	@scripts/deps.sh $(if $(GPU),gpu,cpu)

test: deps lint doc check-links ## Everything that must hold before a change lands
	@# Two services share the jobs of a database that a test starts.
	@ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || scripts/install.sh test postgresql
	$(CARGO) test --workspace --quiet
	@scripts/check_api.sh "$(TARGET)/debug"
	@scripts/check_page.sh "$(TARGET)/debug"

lint: deps ## Format check, clippy with warnings as errors, and the command without libtorch
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --quiet -- -D warnings
	$(CARGO) check --package unscene --no-default-features --quiet

doc: deps ## The API documentation, warnings are errors
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --quiet

check-links: deps ## A service must not carry libtorch
	@scripts/check_no_libtorch.sh

bench: deps ## Remakes benchmarks/results (40 minutes; the peers take 5 GB in .deps/peers; PYTHON=one that has them)
	@command -v ffmpeg >/dev/null || { echo "bench: the videos are made with the ffmpeg command: apt-get install ffmpeg" >&2; exit 1; }
	$(CARGO) build --release --quiet --package unscene --package unscene-serve --package unscene-benchmarks \
	    --package unscene-training-benchmark --bins
	@test -n "$(PYTHON)" || { test -d .deps/peers || python3 -m venv .deps/peers; .deps/peers/bin/pip install --quiet --requirement benchmarks/requirements.txt; }
	ORT_DYLIB_PATH="$${ORT_DYLIB_PATH:-$(CURDIR)/.deps/onnxruntime/lib/libonnxruntime.so}" \
	    $(or $(PYTHON),.deps/peers/bin/python) benchmarks/run.py "$(TARGET)"

bench-serve: deps ## Remakes benchmarks/results/serve.md: the service beside LitServe (40 minutes; the peers take 5 GB in .deps/peers; PYTHON=one that has them)
	@command -v ffmpeg >/dev/null || { echo "bench-serve: the video is made with the ffmpeg command: apt-get install ffmpeg" >&2; exit 1; }
	$(CARGO) build --release --quiet --package unscene --package unscene-serve
	$(CARGO) build --release --quiet --package unscene-benchmarks --bin engine
	@test -n "$(PYTHON)" || { test -d .deps/peers || python3 -m venv .deps/peers; .deps/peers/bin/pip install --quiet --requirement benchmarks/requirements.txt; }
	ORT_DYLIB_PATH="$${ORT_DYLIB_PATH:-$(CURDIR)/.deps/onnxruntime/lib/libonnxruntime.so}" \
	    $(or $(PYTHON),.deps/peers/bin/python) benchmarks/serve_peers.py "$(TARGET)/release" --write

soak: deps ## 20,000 requests, one in twenty hostile: nothing fails, nothing grows (half an hour; matplotlib in .deps/soak; PYTHON=one that has it)
	$(CARGO) build --release --quiet --package unscene --package unscene-serve
	@test -n "$(PYTHON)" || { test -d .deps/soak || python3 -m venv .deps/soak; .deps/soak/bin/pip install --quiet $$(grep '^matplotlib' benchmarks/requirements.txt); }
	ORT_DYLIB_PATH="$${ORT_DYLIB_PATH:-$(CURDIR)/.deps/onnxruntime/lib/libonnxruntime.so}" \
	    $(or $(PYTHON),.deps/soak/bin/python) benchmarks/soak.py "$(TARGET)/release"

fuzz: deps ## Runs cargo-fuzz on every parser (SECONDS=60 each; 30 minutes with the build; TARGETS=names)
	@scripts/fuzz.sh $(or $(SECONDS),60) $(TARGETS)

check-api: deps ## Has schemathesis and NVIDIA's client speak with the service (packages in .deps/api; PYTHON=one that has them)
	$(CARGO) build --quiet --package unscene-serve --package unscene-export
	@scripts/check_api.sh "$(TARGET)/debug"

check-page: deps ## Has Chromium use the page of the service (packages in .deps/page, Debian's chromium; PYTHON=one that has them)
	$(CARGO) build --quiet --package unscene-serve
	@scripts/check_page.sh "$(TARGET)/debug"

check-onnx: deps ## ONNX's own checker on exported models, single and half precision (onnx in .deps/onnx; PYTHON=one that has it)
	$(CARGO) build --quiet --package unscene
	@test -n "$(PYTHON)" || .deps/onnx/bin/python -c 'import onnx' 2>/dev/null || \
	    { python3 -m venv .deps/onnx && .deps/onnx/bin/pip install --quiet --requirement tests/requirements.txt; }
	@folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && unscene="$(TARGET)/debug/unscene" && \
	    "$$unscene" init --arch r3d18-hara --width 0.125 --classes 5 --seed 1 --out "$$folder/run" && \
	    "$$unscene" export --onnx --run "$$folder/run" --out "$$folder/single" && \
	    "$$unscene" export --onnx --fp16 --run "$$folder/run" --out "$$folder/half" && \
	    $(or $(PYTHON),.deps/onnx/bin/python) tests/check_onnx.py "$$folder/single" "$$folder/half"

demo: deps ## Ten minutes from nothing to a debiased model in service, and demo/report.html (FOLDER=path)
	$(CARGO) build --quiet --package unscene
	@python3 scripts/demo.py "$(TARGET)/debug/unscene" "$(FOLDER)"

demo-localize: deps ## Five minutes more: finds actions in long videos (FOLDER=path)
	$(CARGO) build --quiet --package unscene
	@python3 scripts/demo_localize.py "$(TARGET)/debug/unscene" "$(FOLDER)"
