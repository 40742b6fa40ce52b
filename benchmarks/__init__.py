"""Measurements beside what users have today: ``make bench``."""
