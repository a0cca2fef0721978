"""Trainings to start from; what a researcher would write."""
