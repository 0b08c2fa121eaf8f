"""Whose work it is, what is done, and what proves it: on one tree, under two engines, across kills and copies."""
