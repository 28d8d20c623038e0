"""A pipeline's params as a DAG's params: Airflow's trigger form shows them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import Param

from airflow_provider_flowengine.definition_files import read_definition
from airflow_provider_flowengine.definitions.job_params import job_params, settable_params

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow_provider_flowengine.definitions.job_params import JobParam


def params_from(path: str | Path, only: Iterable[str] | None = None) -> dict[str, Param]:
    """
    Return a definition's params for ``DAG(params=…)``, named ``node.key``, a section for each node.

    :param path: the definition, as ``flowengine export`` writes it; a relative path is looked for beside the DAG file.
    :param only: the params to offer, as ``node.key``; default all that a start can set.
    :raises ConfigurationError: if there is no such definition or param.
    """
    return {param.name: _param(param) for param in settable_params(read_definition(_beside(path)), only)}


def job_params_from(path: str | Path, only: Iterable[str] | None = None) -> dict[str, dict[str, str]]:
    """
    Return the start operator's ``job_params`` that hands on what :func:`params_from` offers.

    :param path: the definition.
    :param only: the params that are offered; default all that a start can set.
    :raises ConfigurationError: if there is no such definition or param.
    """
    return job_params(settable_params(read_definition(_beside(path)), only))


def _param(param: JobParam) -> Param:
    form: dict[str, Any] = {"format": "multiline"} if "\n" in param.value else {}
    return Param(
        param.value,
        type="string",
        title=param.key,
        section=param.node_name,
        description=param.description or f"Param {param.key} of {param.node_name}",
        **form,
    )


def _beside(path: str | Path) -> Path:
    """Return a path beside the file of the caller's caller, if there is one: DAG files are run from anywhere."""
    file = sys._getframe(2).f_globals.get("__file__")
    beside = Path(file).parent / path if file else Path(path)
    return beside if beside.exists() else Path(path)
