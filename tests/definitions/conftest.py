"""How long hypothesis looks for an example that breaks a promise."""

from hypothesis import HealthCheck, settings

settings.register_profile("definitions", max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("definitions")
