"""
All knowledge of FlowEngine's API, without I/O.

``endpoints`` says what can be asked, ``envelope`` and ``models`` read what comes back, ``flows`` are the
procedures of several calls, ``waiting`` decides about a run that is waited for. Nothing here imports requests,
aiohttp or Airflow: a transport in :mod:`airflow_provider_flowengine.client` does the sending.
"""
