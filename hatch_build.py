"""Builds the pages for browsers when this package is built, as a wheel or for a checkout's first sync.

A wheel is never built with a page that failed: whoever makes a release is to hear of it. For a checkout the pages
are a comfort, so that without npm, or without a network, all else is installed.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_PAGES = ("executions", "graphiql")
_OUTPUT = "src/transfer_gateway/api/pages"
_STAMP = "sources.sha256"  # of what the pages were built from
_SOURCES = ("package.json", "package-lock.json", "vite.config.ts", *(f"{page}/**/*" for page in _PAGES))
_INSTALL = ("ci", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
_INSTALL_QUICKLY = ("--prefer-offline", "--fetch-retries=0", "--fetch-timeout=10000")
_INSTALL_SURELY = (
    "--fetch-retries=1",
    "--fetch-retry-mintimeout=2000",
)  # npm's own way takes minutes to give up
_CHECKOUT_TIMEOUT_S, _WHEEL_TIMEOUT_S = 120, 600  # of each command


class PageBuildHook(BuildHookInterface[Any]):
    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Have the pages up to date, before the builder looks at which files there are."""
        web, output = Path(self.root, "web"), Path(self.root, _OUTPUT)
        if not web.is_dir():
            return
        fingerprint, stamp = _fingerprint(web), output / _STAMP
        if stamp.is_file() and stamp.read_text() == fingerprint:
            return
        node, npm, checkout = shutil.which("node"), shutil.which("npm"), version == "editable"
        if node is None or npm is None:
            self.app.display_warning("The pages for browsers are not built: there is no npm.")
            return
        try:
            _build(node, npm, web, output, checkout=checkout)
        except (subprocess.SubprocessError, OSError) as error:
            if not checkout:
                raise
            self.app.display_warning(f"The pages for browsers are not built: {error}")
        else:
            stamp.write_text(fingerprint)


def _build(node: str, npm: str, web: Path, output: Path, *, checkout: bool) -> None:
    """Build them in a directory of its own: a developer's node_modules stay, and none are left for anybody else.

    Raises: SubprocessError, OSError; the pages that were there before stay then.
    """
    timeout_s = _CHECKOUT_TIMEOUT_S if checkout else _WHEEL_TIMEOUT_S
    with tempfile.TemporaryDirectory(prefix="pages-") as directory:
        work, built = Path(directory, "web"), Path(directory, "built")
        shutil.copytree(web, work, ignore=shutil.ignore_patterns("node_modules"))
        install = (npm, *_INSTALL, *(_INSTALL_QUICKLY if checkout else _INSTALL_SURELY))
        vite = (node, "node_modules/vite/bin/vite.js")  # itself, so that a timeout ends it
        for command in (install, *((*vite, "build", "--mode", page) for page in _PAGES)):
            subprocess.run(  # noqa: S603
                command,
                cwd=work,
                env=os.environ | {"PAGES_OUT": str(built)},
                check=True,
                timeout=timeout_s,
            )
        shutil.rmtree(output, ignore_errors=True)
        shutil.copytree(built, output)


def _fingerprint(web: Path) -> str:
    """Of what the pages are built from, and with."""
    digest = hashlib.sha256()
    for path in sorted(path for pattern in _SOURCES for path in web.glob(pattern) if path.is_file()):
        digest.update(f"{path.relative_to(web).as_posix()}\0{path.stat().st_size}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()
