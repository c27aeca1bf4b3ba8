"""The page in headless Chromium: at phone and desktop width, light, dark and in print."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from analysis.report.report import write_report

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome")
     if (path := shutil.which(name))), None,
)  # fmt: skip

pytestmark = pytest.mark.skipif(
    CHROMIUM is None,
    reason="NO CHROMIUM: the report page is NOT tested in a browser; apt-get install chromium",
)

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-extensions", "--host-resolver-rules=MAP * ~NOTFOUND", "--enable-logging=stderr",
    "--log-level=0",
)  # fmt: skip


def browse(page: Path, profile: Path, *options: str) -> subprocess.CompletedProcess[str]:
    assert CHROMIUM is not None
    return subprocess.run(
        [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", *options, page.as_uri()],
        capture_output=True, text=True, timeout=120, check=True,
        env={**os.environ, "HOME": str(profile)},
    )  # fmt: skip


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """The page of a study with every kind of section."""
    folder = tmp_path_factory.mktemp("page")
    writer = request.getfixturevalue("run_writer")(folder / "study")
    writer.study(study={"name": "l96-strong", "question": "How far does a fixed batch scale?"},
                 scaling={"mode": "strong"})  # fmt: skip
    for ranks in (1, 2, 4, 8):
        for k in range(2):
            seconds = (0.05 + 0.95 / ranks) * np.exp(0.02 * writer.rng.standard_normal(40))
            writer.done(f"points/p{ranks}/a{k}", ranks, step_seconds=seconds)
    writer.unfinished("points/p16/a1", "failed", "out of memory on n2")
    return write_report([folder / "study"], folder / "report", project=64).page


@pytest.mark.parametrize("width", [500, 1280], ids=["phone", "desktop"])
def test_page_in_a_browser(page: Path, width: int, tmp_path: Path) -> None:
    # 500 pixels is the narrowest window headless Chromium makes.
    shot = tmp_path / "page.png"
    done = browse(page, tmp_path / "profile", f"--window-size={width},1500", f"--screenshot={shot}")
    assert not re.search(r"CONSOLE|ERR_|Uncaught|Refused to", done.stderr), done.stderr
    with Image.open(shot) as image:
        pixels = np.asarray(image.convert("L"))
    assert pixels.shape == (1500, width)
    # Nothing reaches the margins: the page itself never scrolls sideways, only what is in it.
    assert (pixels[:, -4:] >= 250).all()
    assert (pixels < 128).mean() > 0.01


def test_rendered_page_holds_everything(page: Path, tmp_path: Path) -> None:
    text = browse(page, tmp_path / "profile", "--dump-dom").stdout
    images = re.findall(r"<img[^>]*>", text)
    assert len(images) >= 8
    assert all(re.search(r'alt="[^"]{20,}"', image) for image in images)
    assert "How far does a fixed batch scale?" in text
    assert "projection" in text
    assert "out of memory on n2" in text
    assert text.index("How far") < text.index("Answer") < text.index("Accuracy of the scored runs")


def test_dark_page_is_dark(page: Path, tmp_path: Path) -> None:
    shot = tmp_path / "dark.png"
    browse(page, tmp_path / "profile", "--window-size=900,700", f"--screenshot={shot}",
           "--blink-settings=preferredColorScheme=0")  # fmt: skip
    with Image.open(shot) as image:
        assert np.median(np.asarray(image.convert("L"))) < 60


def test_page_prints(page: Path, tmp_path: Path) -> None:
    pdf = tmp_path / "page.pdf"
    browse(page, tmp_path / "profile", f"--print-to-pdf={pdf}")
    assert pdf.read_bytes().startswith(b"%PDF")
    assert pdf.stat().st_size > 50_000
