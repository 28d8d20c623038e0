"""
All knowledge of FlowEngine's API, without I/O.

``endpoints`` builds every request, in the dialects of ``versions``; ``envelope`` and ``reply`` parse what comes back
into ``models``; ``handshake`` finds the engine, and ``api`` is its client, in flows (``flow``): generators that yield
requests and sleeps. Built of them: ``history`` (finding runs), ``starting`` (exactly once), ``stopping``, ``waiting``.
Nothing here imports requests, aiohttp or Airflow: a transport in :mod:`airflow_provider_flowengine.client` does the
sending.
"""
