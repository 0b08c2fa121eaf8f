"""Lets the pages of `dvc plots` work without a network: with the Vega that Snakemake brings, in place of a server's."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from ulfine.files import write_text
from ulfine.runner.engines import LOCAL

TEMPLATE = Path(".dvc/tmp/plots.html")  # not in git: it has two megabytes
SCRIPTS = ("vega/vega.js", "vega-lite/vega-lite.js", "vega-embed/vega-embed.js")
PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>DVC plots</title>
{{refresh_tag}}
{scripts}
<style>body {{ font-family: sans-serif }} body > div {{ margin: 2em 1em }}</style>
</head>
<body>
{{plot_divs}}
</body>
</html>
"""


def make_plots_offline() -> None:
    """Write the page that `dvc plots` fills, and tell DVC of it, unless that is done."""
    origin = find_spec("snakemake").origin
    scripts = [Path(origin).parent.joinpath("assets/data", name) for name in SCRIPTS] if origin else []
    if TEMPLATE.exists() or not all(path.exists() for path in scripts):  # else DVC's own page asks a server
        return
    inside = "\n".join(f"<script>{path.read_text(encoding='utf-8')}</script>" for path in scripts)
    write_text(TEMPLATE, PAGE.format(scripts=inside))
    known = LOCAL.exists() and "html_template" in LOCAL.read_text(encoding="utf-8")
    if not known:
        value = ("plots.html_template", TEMPLATE.relative_to(".dvc").as_posix())
        subprocess.run([sys.executable, "-m", "dvc", "config", "--local", *value], check=True)  # noqa: S603 (our own words)
