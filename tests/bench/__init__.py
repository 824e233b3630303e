"""What a backup costs: memory, time and bytes, measured on real parts, at any size.

Each measurement takes a directory and a size, and returns figures, which know whether they are within the
limits: a short sample in `make test` and the whole in `make faults` mean the same.

* `memory.measure_memory(root, database_mb, files)`: peak PSS of the agent and its children, in `run` and
  `restore`;
* `increments.measure_increments(root, files, file_bytes)`: a first backup, one with nothing changed, one
  after 1 % of the files changed;
* `database.measure_database(root, database_mb, rounds)`: the database part beside
  `pg_dump -Fc -Z0 -f /dev/null` in the database's container, in turns.

Every figure is printed as one line of JSON as soon as it is known, and appended to the file that the variable
LOOMIO_BENCH_RESULTS names, if there is one. `python -m tests.bench --help` takes them by hand; `whole` has
them at full size, judged, for `make faults`.
"""
