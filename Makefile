# Everything here runs in the environment that `pip install -c constraints.txt '.[test]'` made.
PYTHON ?= python

.PHONY: check test format benchmarks real models

check: test  ## all that CI runs, in the present environment
	PYTHON=$(PYTHON) .ci/checks

test:
	$(PYTHON) -m pytest

format:
	$(PYTHON) -m ruff check --fix .
	$(PYTHON) -m ruff format .

real:
	$(PYTHON) -m pytest -m real

models:
	$(PYTHON) -m pip install -c constraints.txt '.[models]'
	$(PYTHON) -m pytest -m models

benchmarks:  ## at full size, about ten minutes and 5 GB of disk
	$(PYTHON) -m benchmarks.listing --check
	$(PYTHON) -m benchmarks.diffing --check
	$(PYTHON) -m benchmarks.fixing --check
	$(PYTHON) -m benchmarks.predicting --check
	$(PYTHON) -m benchmarks.building --check
	$(PYTHON) -m benchmarks.inferring run --check
	$(PYTHON) -m benchmarks.inferring threads --check
	$(PYTHON) -m benchmarks.inferring timing
