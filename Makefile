# The two commands of the README are `make demo` and `make test`. Each sets up what it needs.

CARGO ?= cargo
.DEFAULT_GOAL := help
.PHONY: help deps demo test lint doc check-links

help: ## Lists the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

deps: ## Debian packages, libtorch and ONNX Runtime (GPU=1: the CUDA builds); quick when nothing is to do
	@scripts/deps.sh $(if $(GPU),gpu,cpu)

test: deps lint doc check-links ## Everything that must hold before a change lands
	$(CARGO) test --workspace --quiet

lint: deps ## Format check and clippy, warnings are errors
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --quiet -- -D warnings

doc: deps ## The API documentation, warnings are errors
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --quiet

check-links: deps ## A service must not carry libtorch
	@scripts/check_no_libtorch.sh

demo: deps ## Makes a model, exports it, serves it, posts a video (VIDEO=path), prints the answer
	$(CARGO) build --quiet --package unscene
	@python3 scripts/demo.py "$$($(CARGO) metadata --format-version 1 --no-deps | python3 -c 'import json,sys; print(json.load(sys.stdin)["target_directory"])')/debug/unscene" "$(VIDEO)"
