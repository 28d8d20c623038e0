"""
What breaks, and what comes of it: a random campaign, and each row of the ownership table.

The real operator, trigger, flows and poll run against the emulator's engine, without sockets and on a clock that stands
still until somebody lets time pass. Airflow is a model of what it does to a task (:mod:`.airflow`), the network is a
table of what may come instead of an answer (:mod:`.flowengine`); :mod:`.oracle` says what may come of it all.
"""
