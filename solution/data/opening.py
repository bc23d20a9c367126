"""Opening rasters by the names that people give: files, GDAL's archives and VRTs; what is not on this disk is refused."""

from __future__ import annotations

import re
import shlex
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from xml.etree import ElementTree

import rasterio
from rasterio.errors import NotGeoreferencedWarning, RasterioError

from solution.core.errors import InputError
from solution.core.names import alias, is_utf8

# Whether an image needs a geotransform, and has one, is said by solution.data.frame
warnings.filterwarnings("ignore", category=NotGeoreferencedWarning)

_MAX_OPEN_CACHE_MB = 256
_ARCHIVED = re.compile(r"/vsi(?P<vsi>zip|tar|gzip|7z|rar)/(?P<rest>.+)|(?P<scheme>zip|tar|gzip):/+(?P<marked>.+)")
_ELSEWHERE = re.compile(r"/vsi\w+/|[A-Za-z][\w+.-]+:")
"""How names begin that GDAL opens without a file of that name: its virtual file systems, addresses, connections."""


def check_file(path: Path, mend: str = "check the path") -> None:
    """Raise `InputError` for a directory, or where nothing is; `mend` says what to do then."""
    if Path(path).is_dir():
        raise InputError(f"{path}: is a directory; name the file in it")
    if not Path(path).is_file():
        raise InputError(f"{path}: no such file; {mend}")


def located(path: Path) -> tuple[str, Path]:
    """The name by which GDAL opens a raster, and the file on disk that holds it: an archive, where it lies in one.

    Raises:
        InputError: a directory, no such file or archive, or something that is not on this disk.
    """
    name, path = str(path), Path(path)
    archived = _ARCHIVED.fullmatch(name)
    if path.exists() or not (archived or _ELSEWHERE.match(name)):
        check_file(path)
        return str(alias(path)), path
    if archived:
        return _in_archive(name, archived)
    # A raster within a file, as in NETCDF:"scene.nc":amplitude
    holder = next((Path(part) for part in re.split(r'[":]', name)[1:] if part and Path(part).is_file()), None)
    if holder is None or name.startswith("/vsi"):
        raise InputError(f"{name}: is not a file on this disk; download or export it first, then name the file")
    return name, holder


def _in_archive(name: str, found: re.Match) -> tuple[str, Path]:
    """The archive is the part of the name that is a file. `Path` has made one slash of two, so an absolute name looks
    like a relative one; both are tried."""
    kind, inside = found["vsi"] or found["scheme"], found["rest"] or found["marked"].replace("!", "/", 1)
    if inside.startswith("{"):
        archive = inside[1:].partition("}")[0]
        check_file(Path(archive))
        return name, Path(archive)
    parts = [part for part in inside.split("/") if part]
    for count in range(1, len(parts) + 1):
        for start in ("", "/"):
            archive = Path(start + "/".join(parts[:count]))
            if archive.is_file():
                return "/".join([f"/vsi{kind}", str(archive), *parts[count:]]), archive
    raise InputError(f"{name}: no such archive; check the path")


def on_disk(path: Path) -> bool:
    """Whether `located` finds a file for a name."""
    try:
        located(path)
    except InputError:
        return False
    return True


def is_plain(name: str) -> bool:
    """Whether a name is that of a file and nothing else: no archive, no address, no connection."""
    return not _ELSEWHERE.match(name)


@contextmanager
def open_raster(path: Path) -> Iterator[rasterio.io.DatasetReader]:
    """Open for reading; an unreadable file, or one that breaks while it is read, ends in a sentence that names it."""
    name, file = located(path)
    try:
        with rasterio.Env(GDAL_CACHEMAX=_MAX_OPEN_CACHE_MB), rasterio.open(name) as dataset:
            _check_single(dataset, path)
            yield dataset
    except RasterioError as error:
        reason = str(error.__cause__ or error).splitlines()[0][:160]
        if file != Path(path) and "does not exist" in reason:
            raise InputError(f"{path}: {file.name} holds no such file; check the path") from error
        raise InputError(f"{path}: unreadable or truncated raster ({reason}); copy or download it again") from error


def _check_single(dataset: rasterio.io.DatasetReader, path: Path) -> None:
    """Raise `InputError` for a file of several rasters, each of which has a name of its own."""
    if dataset.count == 0:
        inner = f"holds several rasters; name one of them, for example: {shlex.quote(dataset.subdatasets[0])}"
        raise InputError(f"{path}: {inner if dataset.subdatasets else 'holds no raster; check the file'}")


def says_nothing_new(path: Path) -> bool:
    """Whether a file is a side-car in which GDAL keeps nothing but the statistics of an image: whoever looks at one in a
    GIS may leave it there."""
    if not path.name.endswith(".aux.xml"):
        return False
    try:
        root = ElementTree.parse(path).getroot()
    except (OSError, ElementTree.ParseError):
        return False
    parts = [part for band in root.iterfind("PAMRasterBand") for part in band if part.tag != "Histograms"]
    entries = [entry.get("key", "") for part in parts for entry in part]
    return (
        all(child.tag == "PAMRasterBand" for child in root)
        and all(part.tag == "Metadata" and not part.attrib for part in parts)
        and all(entry.startswith("STATISTICS_") for entry in entries)
    )


def files_behind(path: Path) -> tuple[Path, ...]:
    """All files on disk that a raster is made of, itself first: the images of a VRT too, and theirs, and side-car
    files; of what lies in an archive, the archive.

    Raises:
        InputError: as `open_raster`, or a VRT that names something that is not on this disk; an image that it names and
            that is not there counts with its name.
    """
    found, seen, ahead = {}, set(), [Path(path)]
    while ahead:
        name = ahead.pop(0)
        if name in seen:
            continue
        seen.add(name)
        there = name.exists()
        found[located(name)[1] if name == Path(path) or (not there and _ELSEWHERE.match(str(name))) else name] = None
        if name == Path(path) or (name.suffix.lower() == ".vrt" and on_disk(name)):
            with open_raster(name) as dataset:
                # Those of an alias lie in a folder that ends with the process
                ahead.extend(Path(file) if is_utf8(str(name)) else Path(file).resolve() for file in dataset.files)
    return tuple(found)
