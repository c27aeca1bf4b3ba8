"""The report: findings, the answer, sections, pictures, one page."""
