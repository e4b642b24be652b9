"""`python -m backend_api.cli` is `sofipo`."""

from backend_api.cli import main

main()
