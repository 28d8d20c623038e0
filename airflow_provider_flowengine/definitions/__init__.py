"""
Pipelines as code: what of a pipeline's object is its definition, how two differ, and how one is kept in files.

Plain functions of values, without I/O: :mod:`.content` (the definition), :mod:`.diff`, :mod:`.check` (what an engine
would refuse), :mod:`.files` (the file format), :mod:`.overlay` (what differs per environment).
"""
