"""Take the picture of the page that README.md shows: docs/report.png.

python docs/make_report_picture.py     # needs Chromium (apt-get install chromium), and results/default/report.html
"""

import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image

PAGE, PICTURE = Path("results/default/report.html"), Path("docs/report.png")
WINDOW = (1060, 1900)  # pixels
WIDTH = 700


def main() -> None:
    """Open the page without a screen, and keep its beginning."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        sys.exit("no Chromium is installed here")
    with TemporaryDirectory() as folder:
        shot = Path(folder, "page.png")
        options = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            f"--user-data-dir={folder}/p",
        ]
        options += [f"--window-size={WINDOW[0]},{WINDOW[1]}", f"--screenshot={shot}"]
        subprocess.run([chromium, *options, PAGE.resolve().as_uri()], check=True, capture_output=True)  # noqa: S603
        with Image.open(shot) as picture:
            height = round(picture.height * WIDTH / picture.width)
            small = picture.convert("RGB").resize((WIDTH, height), Image.Resampling.LANCZOS)
            small.quantize(64).save(PICTURE, optimize=True)


if __name__ == "__main__":
    main()
