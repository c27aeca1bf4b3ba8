"""The report about runs: findings, answer, sections, pictures and one page."""
