"""
An emulator of FlowEngine, for tests and demos; it is no FlowEngine.

It stands apart from the rest of the package: it imports nothing of it, nothing imports it, and its answers are written
by hand from what is known of the API, so a mistake of the client can't cancel out here.
"""
