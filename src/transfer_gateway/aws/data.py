"""What botocore reads of AWS, less what is of no use here: it would hold 9 MB of it in memory for good.

That is, its models' documentation, the endpoints of 400 services that nobody calls, and dictionaries that keep an order
which all of Python's keep.
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

# By their endpoints' names: those that we call, and those that botocore asks for credentials of our own.
_CALLED = {"organizations", "sts", "transfer"} | {"oidc", "portal.sso", "signin", "sso"}
_FORMS: dict[str, Callable[..., Any]] = {".json": open, ".json.gz": gzip.open}


def data_loader() -> Loader:
    """botocore's own, which looks where it is configured to. Raises: botocore's errors for wrong configuration."""
    loader: Loader = AioSession().get_component("data_loader")
    with Check("botocore", fallback="botocore's loader of data files, which keeps 9 MB more") as check:
        check_loader(loader)
    if check.passed:
        loader.file_loader = _Files()
    return loader


class _Files(JSONFileLoader):  # type: ignore[misc]  # botocore is untyped
    def load_file(self, file_path: str) -> Any:  # noqa: ANN401  whatever is in the file
        """Of `file_path` without its ending; None where there is no such file."""
        for ending, opened in _FORMS.items():
            path = Path(file_path + ending)
            if path.is_file():
                with opened(str(path), "rb") as file:
                    data = orjson.loads(file.read())
                _leave_out_words(data)
                if path.name == f"endpoints{ending}":
                    _leave_out_services(data)
                return data
        return None


def _leave_out_words(data: object) -> None:
    """What describes a model; a member of that name is no text."""
    if isinstance(data, dict):
        if isinstance(data.get("documentation"), str):
            del data["documentation"]
        for value in data.values():
            _leave_out_words(value)
    elif isinstance(data, list):
        for value in data:
            _leave_out_words(value)


def _leave_out_services(endpoints: Any) -> None:  # noqa: ANN401  of JSON
    for partition in endpoints["partitions"]:
        services = partition["services"]
        partition["services"] = {name: services[name] for name in services.keys() & _CALLED}
