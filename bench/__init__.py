"""The hot paths beside what the machine can do: `make bench`, or `python -m bench --help`."""
