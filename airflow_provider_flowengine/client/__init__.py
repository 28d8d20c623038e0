"""The two transports that drive :mod:`airflow_provider_flowengine.protocol`'s flows, and the shared poll."""
