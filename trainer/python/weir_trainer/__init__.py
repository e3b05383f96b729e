"""Fits and exports the models of one training job. What to fit on what is decided by the job, not here."""
