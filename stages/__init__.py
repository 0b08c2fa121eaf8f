"""The scripts that both engines run, each as `python -m stages.NAME` from the root of the repository."""
