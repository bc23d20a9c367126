"""The steps of the Dockerfile, run as a shell script in a clean folder, and what the images are started with.

No Docker is needed and no network: apt-get, useradd and chown are stand-ins, and pip finds what it shall install in the
environment of the tests (so versions are compared with the pins, but nothing is fetched).
"""

from __future__ import annotations

import fnmatch
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

import pytest
import rasterio
from packaging.version import Version

from solution.core.environment import variables

ROOT = Path(__file__).resolve().parents[3]
STAND_INS = ("apt-get", "useradd", "chown")
PLACES = re.compile(r"(?<![\w./])/(?=(?:opt|data|work|var)\b)")
"""The root of places that belong to the image."""
IGNORED = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]


@dataclass
class Stage:
    """Steps of an image, those of the one that it starts from included.

    Attributes:
        steps: instruction and the rest of its line.
    """

    base: str
    steps: list[tuple[str, str]] = field(default_factory=list)

    def last(self, instruction: str) -> str:
        """The rest of the last line of an instruction; empty without one."""
        return next((rest for name, rest in reversed(self.steps) if name == instruction), "")


def read_stages() -> dict[str, Stage]:
    """The stages of the Dockerfile by name."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    stages: dict[str, Stage] = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        instruction, rest = line.split(maxsplit=1)
        if instruction == "FROM":
            base, _, name = rest.split()
            found = stages[name] = Stage(base, list(stages[base].steps) if base in stages else [])
        else:
            found.steps.append((instruction, rest))
    return stages


def in_context(name: str) -> bool:
    """Whether a file is sent to Docker."""
    allowed = [line[1:] for line in IGNORED if line.startswith("!")]
    refused = [line.removeprefix("**/") for line in IGNORED if not line.startswith("!") and line != "*"]
    parents = ["/".join(name.split("/")[:depth]) for depth in range(1, name.count("/") + 2)]
    by_path = any(fnmatch.fnmatch(parent, pattern) for parent in parents for pattern in refused)
    return parents[0] in allowed and not by_path and not set(refused) & set(name.split("/"))


def sent() -> list[Path]:
    """What lies in the folders that are sent to Docker, and in those alone: an environment holds 50,000 files."""
    tops = [top for top in ROOT.iterdir() if in_context(top.name)]
    return [path for top in tops for path in (top, *top.rglob("*"))]


@dataclass
class Image:
    """A stage that is built in a folder, which stands for the root of its file system."""

    root: Path
    stage: Stage
    environment: dict[str, str]
    place: str = "/"

    def at(self, text: str) -> str:
        """A text with the image's places in this folder."""
        return PLACES.sub(f"{self.root}/", text)

    def run(self, command: str) -> subprocess.CompletedProcess:
        folder = Path(self.at(self.place))
        return subprocess.run(
            ["sh", "-ec", self.at(command)],
            cwd=folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def build(self) -> None:
        for instruction, rest in self.stage.steps:
            getattr(self, f"_{instruction.lower()}", lambda rest: None)(rest)

    def _workdir(self, rest: str) -> None:
        self.place = rest
        Path(self.at(rest)).mkdir(parents=True, exist_ok=True)

    def _env(self, rest: str) -> None:
        for assignment in shlex.split(rest):
            name, value = assignment.split("=", 1)
            self.environment[name] = self.at(value).replace("$PATH", self.environment["PATH"])

    def _arg(self, rest: str) -> None:
        self._env(rest)

    def _copy(self, rest: str) -> None:
        source, target = rest.split()
        assert target == "./"
        for path in [ROOT / source] if source != "." else sent():
            name = path.relative_to(ROOT).as_posix()
            if path.is_file() and in_context(name):
                (Path(self.at(self.place)) / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, Path(self.at(self.place)) / name)

    def _run(self, rest: str) -> None:
        done = self.run(rest)
        assert done.returncode == 0, f"RUN {rest}\n{done.stdout}\n{done.stderr}"
        if "-m venv" in rest:  # the environment of the tests stands for the package index
            packages = next((self.root / "opt/venv/lib").glob("python*/site-packages"))
            index = [str(metadata.distribution("setuptools").locate_file("")), sysconfig.get_path("purelib")]
            (packages / "index.pth").write_text(f"import sys; sys.path[:0] = {index}\n")


def clean_environment(root: Path) -> dict[str, str]:
    """Stand-ins first, nothing of this process's own, and no way to a network."""
    tools = root / "tools"
    tools.mkdir(parents=True)
    for name in STAND_INS:
        (tools / name).write_text(f'#!/bin/sh\necho {name} "$@" >>"{root}/called"\n')
        (tools / name).chmod(0o755)
    (tools / "python").symlink_to(sys.executable)
    nowhere = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
    offline = {"PIP_NO_INDEX": "1", "PIP_NO_BUILD_ISOLATION": "0", "PIP_CONFIG_FILE": os.devnull}
    return {"PATH": f"{tools}:/usr/bin:/bin", "HOME": str(root), "OMP_NUM_THREADS": "1", **nowhere, **offline}


def build(root: Path, stage: str) -> Image:
    image = Image(root, read_stages()[stage], clean_environment(root))
    image.build()
    return image


needs_setuptools = pytest.mark.skipif(
    Version(metadata.version("setuptools")) < Version("77"),
    reason="setuptools >= 77 of requirements.txt is not installed",
)


@pytest.mark.slow
def test_the_contest_s_image_predicts_the_test_pairs(make_scene, tmp_path):
    image = build(tmp_path / "image", "contest")
    make_scene("02_publictest", tmp_path / "image/data/test", shape=(96, 112), points=None)
    done = image.run("./test.sh /data/test /work/solution.zip --finest 8 --source flow --team 0")
    assert done.returncode == 0, done.stdout + done.stderr
    with zipfile.ZipFile(tmp_path / "image/work/solution.zip") as archive:
        assert archive.namelist() == ["solution/solution_02_publictest.tif"]
    assert image.run("./train.sh").returncode == 2
    called = (tmp_path / "image/called").read_text()
    assert (
        "apt-get install --yes --no-install-recommends libgomp1" in called and "chown -R analyst folds runs" in called
    )


@pytest.mark.slow
@needs_setuptools
def test_the_product_s_image_is_the_program(make_scene, tmp_path):
    image = build(tmp_path / "image", "product")
    command = shlex.join(json.loads(image.stage.last("ENTRYPOINT")))
    assert "Usage: sar2opt" in image.run(f"{command} {shlex.join(json.loads(image.stage.last('CMD')))}").stdout
    scene = make_scene("02_publictest", tmp_path / "image/work", shape=(96, 112), points=None)
    done = image.run(
        f"{command} predict {scene.optical.name} {scene.sar.name} out.tif --finest 8 --source flow --team 0"
    )
    assert done.returncode in (0, 3, 4), done.stdout + done.stderr
    with rasterio.open(tmp_path / "image/work/out.tif") as written:
        assert written.shape == (96, 112)
    where = image.run("cd / && python -c 'import solution; print(solution.__file__)'").stdout
    assert where.startswith(str(tmp_path / "image/opt/venv"))


@pytest.mark.parametrize("name", ["contest", "product"])
def test_an_image_runs_as_nobody_in_particular_and_is_small(name):
    stage = read_stages()[name]
    assert stage.last("USER") == "analyst" and [step for step, _ in stage.steps][-1] in ("CMD", "ENTRYPOINT")
    assert stage.steps.index(("USER", "analyst")) > max(i for i, (step, _) in enumerate(stage.steps) if step == "RUN")
    assert read_stages()[stage.base].base == "python:3.11-slim"
    assert (
        "whl/cpu" in stage.last("ARG") and ("ENV", "PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1") in stage.steps
    )


def test_what_is_installed_comes_from_indices_of_packages():
    fetched = [rest for stage in read_stages().values() for step, rest in stage.steps if step == "RUN"]
    assert not [rest for rest in fetched if re.search(r"curl|wget|git clone|https?://", rest)]
    assert not [rest for step, rest in read_stages()["product"].steps if step == "ADD"]


def test_the_image_has_the_environment_of_the_scripts():
    told = " ".join(rest for step, rest in read_stages()["packages"].steps if step == "ENV")
    assert {f"{name}={value}" for name, value in variables().items()} <= set(shlex.split(told))


def test_docker_gets_what_the_images_need_and_nothing_else():
    for name in (
        "solution/cli/app.py",
        "solution/environment",
        "folds/0/flow.safetensors",
        "test.sh",
        "pyproject.toml",
    ):
        assert in_context(name) and (ROOT / name).is_file()
    for name in (".git/config", ".venv/bin/python", "data/a.tif", "solution/tests/conftest.py", "docs/api.md"):
        assert not in_context(name)
    for name in ("solution/cli/__pycache__/app.pyc", "folds/0/candidates.parquet", "folds/base/.work/a"):
        assert not in_context(name)


def test_the_readers_of_the_dockerfile_see_what_they_should():
    """A step that fails ends the build, and a place of the image is never one of this machine."""
    image = Image(Path("/x"), Stage("a"), {"PATH": os.environ["PATH"]}, "/")
    assert image.at("cp a /work/b /opt/c; ls ./work /usr/bin https://a/work") == (
        "cp a /x/work/b /x/opt/c; ls ./work /usr/bin https://a/work"
    )
    with pytest.raises(AssertionError, match="RUN false"):
        image._run("false")
