.PHONY: check format lint types layers quick test leaderboard

export OMP_NUM_THREADS = 1
export OMP_WAIT_POLICY = PASSIVE

check: format lint types layers quick

format:
	ruff format --check .

lint:
	ruff check .

types:
	mypy

layers:
	lint-imports

quick:
	python -m pytest -n 2 --dist loadgroup -m "not slow"

test: format lint types layers
	python -m pytest -n 2 --dist loadgroup

leaderboard:
	python -m autopeft.cli leaderboard quick methods understanding low_resource \
		--format markdown --output benchmarks/LEADERBOARD.md
	python -m autopeft.cli leaderboard quick methods understanding low_resource \
		--format html --output benchmarks/leaderboard.html
