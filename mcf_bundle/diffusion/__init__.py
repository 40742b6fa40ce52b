"""Schedules, fusion, guidance, sampling: the mathematics, without files or configs."""
