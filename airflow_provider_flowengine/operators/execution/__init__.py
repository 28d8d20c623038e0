"""
What operators do when a task executes; imported then, and not while a DAG file is parsed.

An operator is a declaration. One try's work is an object of its own: :class:`.task.RunTask`.
"""
