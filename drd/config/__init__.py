"""Configuration: drd.yaml, policies and runbooks, read with the position of every mistake.

`drd.config.load` reads all of it; the kinds that files may name are handed in. `drd.config.whereabouts` reads just what
it takes to find the daemon, so this module imports neither.
"""
