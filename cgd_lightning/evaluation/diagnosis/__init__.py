"""Whether a classifier is good enough to guide, where in the noise range, and what is wrong."""

from cgd_lightning.evaluation.diagnosis.diagnose import diagnose
from cgd_lightning.evaluation.diagnosis.evidence import Fault
from cgd_lightning.evaluation.diagnosis.report import Diagnosis
from cgd_lightning.evaluation.diagnosis.verdict import Advice

__all__ = ["Advice", "Diagnosis", "Fault", "diagnose"]
