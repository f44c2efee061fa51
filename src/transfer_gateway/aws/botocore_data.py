"""Loads botocore's data files without the parts that are unused here, which would keep 9 MB in memory.

Those are the models' documentation, the endpoints of 400 services that are never called, and ordered dictionaries.
"""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
from aiobotocore.session import AioSession
from botocore.loaders import JSONFileLoader

from transfer_gateway.aws.botocore_internals import check_loader
from transfer_gateway.library_checks import Check

if TYPE_CHECKING:
    from collections.abc import Callable

    from botocore.loaders import Loader

# By endpoint name: the services that we call, and those that botocore calls for the gateway's own credentials.
_CALLED = {"logs", "organizations", "sts", "transfer"} | {"oidc", "portal.sso", "signin", "sso"}
_SUFFIXES: dict[str, Callable[..., Any]] = {".json": open, ".json.gz": gzip.open}


def data_loader() -> Loader:
    """botocore's loader, with its configured search path. Raises: botocore's errors for invalid configuration."""
    loader: Loader = AioSession().get_component("data_loader")
    with Check("botocore", fallback="botocore's loader of data files, which keeps 9 MB more") as check:
        check_loader(loader)
    if check.passed:
        loader.file_loader = _Files()
    return loader


class _Files(JSONFileLoader):  # type: ignore[misc]  # botocore is untyped
    def load_file(self, file_path: str) -> Any:  # noqa: ANN401  any JSON
        """Load `file_path`, which has no suffix; None if there is no such file."""
        for suffix, open_file in _SUFFIXES.items():
            path = Path(file_path + suffix)
            if path.is_file():
                with open_file(str(path), "rb") as file:
                    data = orjson.loads(file.read())
                _remove_documentation(data)
                if path.name == f"endpoints{suffix}":
                    _remove_unused_services(data)
                return data
        return None


def _remove_documentation(data: object) -> None:
    """Remove documentation strings. A member named `documentation` is not a string and stays."""
    if isinstance(data, dict):
        if isinstance(data.get("documentation"), str):
            del data["documentation"]
        for value in data.values():
            _remove_documentation(value)
    elif isinstance(data, list):
        for value in data:
            _remove_documentation(value)


def _remove_unused_services(endpoints: Any) -> None:  # noqa: ANN401  JSON
    for partition in endpoints["partitions"]:
        services = partition["services"]
        partition["services"] = {name: services[name] for name in services.keys() & _CALLED}
