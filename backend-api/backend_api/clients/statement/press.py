"""The process that sets one PDF: limits as arguments, a document comes in, a file goes out. `printing` starts it."""

import pickle
import resource
import sys

from backend_api.clients.statement.paper import pdf


def main() -> None:
    """Set the document that stands on the standard input, within so many bytes of memory and seconds of processor."""
    memory, seconds = map(int, sys.argv[1:])
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    document = pickle.load(sys.stdin.buffer)  # noqa: S301 - from the process that started this one, and nobody else
    sys.stdout.buffer.write(pdf(document))


if __name__ == "__main__":
    main()
