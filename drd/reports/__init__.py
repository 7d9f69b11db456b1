"""Rendering: metrics, timelines and evidence, from what the journal says."""
