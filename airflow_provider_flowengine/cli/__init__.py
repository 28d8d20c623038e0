"""
The command ``flowengine``, and the same as ``airflow flowengine`` from Airflow 3.2 on.

:mod:`.commands` is the one table of commands, from which both are made; the module beside it that a command names does
it. Nothing here is loaded before a command needs it, so that the command answers at once, without Airflow.
"""
