"""`sofipo doctor`: independent questions to everything a set-up consists of, each answered in a sentence."""

from backend_api.cli.doctor.examination import Finding, examine, report
from backend_api.cli.doctor.verdicts import Level

__all__ = ["Finding", "Level", "examine", "report"]
