# One command a task; each first installs what it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed
NODE_STAMP := node_modules/installed

.PHONY: install demo serve site docs transfer transfer-photos test faults audit lint bundle bench bench-ranks bench-site clean

install: $(STAMP)

# Versions are pinned for development; pyproject.toml has the ranges that users get.
$(STAMP): setup.py pyproject.toml requirements/constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[dev]' --constraint requirements/constraints.txt
	touch $@

demo: $(STAMP)
	$(BIN)/torchlurk demo

serve: $(STAMP)
	$(BIN)/torchlurk serve _site

# Fine-tune SqueezeNet to ten kinds of vehicles and compare it before, during and after the training: see
# docs/how-to/fine-tune.md. TINY may be any copy of tiny-ImageNet; otherwise a part of it is downloaded.
TINY := data/tiny-imagenet
VEHICLES := data/tiny-imagenet-vehicles
TUNED := runs/vehicles

transfer: $(STAMP)
	test -d $(TINY) || $(BIN)/torchlurk data tiny-imagenet --out $(TINY)
	$(BIN)/python data/vehicles.py $(TINY) $(VEHICLES)
	$(BIN)/torchlurk transfer --model squeezenet1_1 --weights caffe --size 160 \
		--images $(VEHICLES)/images --val 0.4 --unfreeze 'features.1[0-2]' \
		--epochs 12 --save-every 4 --device cpu --out $(TUNED)
	for epoch in 00 04 12; do \
		$(BIN)/torchlurk precompute --model squeezenet1_1 \
			--weights $(TUNED)/checkpoints/epoch-00$$epoch.safetensors \
			--images $(VEHICLES)/images --layers kind:Conv2d --layers logits --filters 4 \
			--device cpu --out saved_model/vehicles-$$epoch || exit 1; \
	done
	$(BIN)/torchlurk compare saved_model/vehicles-00 saved_model/vehicles-04 saved_model/vehicles-12 \
		--images $(VEHICLES)/images --device cpu --out saved_model/vehicles-00-to-12 \
		$(foreach epoch,00 04 12,--weights $(TUNED)/checkpoints/epoch-00$(epoch).safetensors)
	$(BIN)/torchlurk site saved_model/vehicles-00 saved_model/vehicles-04 saved_model/vehicles-12 \
		saved_model/vehicles-00-to-12 --out _site_vehicles

# Fine-tune SqueezeNet to the subjects of data/photos and draw the filters that changed most: see
# docs/tutorial/fine-tuning.md.
CHECKPOINTS := runs/photos/checkpoints
BOTH := --weights $(CHECKPOINTS)/epoch-0000.safetensors --weights $(CHECKPOINTS)/epoch-0010.safetensors
BETWEEN := saved_model/subjects-before saved_model/subjects-after \
	--layers 'features*' --images data/photos $(BOTH) --device cpu --out saved_model/subjects

transfer-photos: $(STAMP)
	$(BIN)/torchlurk transfer --model squeezenet1_1 --weights caffe --images data/photos --val 0.3 \
		--unfreeze 'features.1[0-2]' --device cpu --out runs/photos
	for store in before:0000 after:0010; do \
		$(BIN)/torchlurk precompute --model squeezenet1_1 \
			--weights $(CHECKPOINTS)/epoch-$${store#*:}.safetensors --images data/photos \
			--stages scan --batch-size 1 --device cpu --out saved_model/subjects-$${store%:*} || exit 1; \
	done
	$(BIN)/torchlurk compare $(BETWEEN)
	$(BIN)/python docs/changed.py pictures saved_model/subjects --model squeezenet1_1 --images data/photos $(BOTH)
	$(BIN)/torchlurk compare $(BETWEEN)
	$(BIN)/python docs/changed.py sheet saved_model/subjects runs/photos/changed.jpg
	$(BIN)/torchlurk site saved_model/subjects-before saved_model/subjects-after saved_model/subjects \
		--out _site_subjects

lint: $(STAMP) $(NODE_STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	@echo "basedpyright --verifytypes torchlurk"
	@PATH=$(abspath $(BIN)):$$PATH PYTHONPATH=. $(BIN)/basedpyright --verifytypes torchlurk --ignoreexternal \
		> $(VENV)/types.txt || { cat $(VENV)/types.txt; exit 1; }
	npm run --silent lint

# The script and the stylesheet of the page, which are committed; `make lint` checks that they are up to date.
bundle: $(NODE_STAMP)
	npm run --silent bundle

# The tools that check and bundle the page, pinned by package-lock.json. Nothing of them is served or installed.
$(NODE_STAMP): package.json package-lock.json | npm
	npm ci --no-audit --no-fund --silent
	touch $@

# Tests wait for browsers and processes as often as for a core, so there are more of them than two cores.
test: lint chromium
	node --test $$(find tests/site -name '*.test.mjs')
	$(BIN)/python -m pytest --numprocesses 3 --dist worksteal

# Run the long fault tests and write their table into docs/explanation/reliability.md.
faults: $(STAMP) chromium
	$(BIN)/python -m tests.faults.long --write

# Look for known vulnerabilities of the pinned versions; fails if the list of them cannot be reached.
audit:
	$(PYTHON) -m venv $(VENV)-audit
	$(VENV)-audit/bin/python -m pip install --quiet pip-audit
	$(VENV)-audit/bin/pip-audit --strict --disable-pip --no-deps --requirement requirements/constraints.txt

bench: $(STAMP)
	$(BIN)/python -m pip install --quiet --editable '.[bench]' --constraint requirements/constraints.txt
	$(BIN)/python -m benchmarks
	$(BIN)/python -m benchmarks --busy --only scan,command,gradients

# Compare a scan by two processes with a scan by one process on one core.
bench-ranks: $(STAMP)
	$(BIN)/python -m benchmarks.ranks

# Measure the page of the demo against its budgets.
bench-site: $(STAMP) chromium
	$(BIN)/python -m benchmarks.site _site

# The documentation as HTML, in _docs; a warning is an error.
DOCS := NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

docs: $(STAMP)
	$(DOCS) --site-dir _docs

# The demo, and the documentation beside it, with links in both directions.
site: demo
	TORCHLURK_DEMO=../index.html $(DOCS) --site-dir _site/docs

# The browser of the tests: the system's own, from Debian.
.PHONY: chromium npm
chromium:
	@command -v chromium >/dev/null || { \
		SUDO=$$([ "$$(id -u)" = 0 ] || echo sudo); \
		$$SUDO apt-get update -qq && $$SUDO apt-get install -y -qq --no-install-recommends chromium; }

# Node and its package manager, from Debian.
npm:
	@command -v npm >/dev/null || { \
		SUDO=$$([ "$$(id -u)" = 0 ] || echo sudo); \
		$$SUDO apt-get update -qq && $$SUDO apt-get install -y -qq --no-install-recommends nodejs npm; }

clean:
	rm -rf node_modules $(VENV) $(VENV)-audit build dist *.egg-info _docs _site .pytest_cache .mypy_cache .ruff_cache .hypothesis
