"""Where the time of a step goes, operation by operation, against what this machine can do.

`machine.py` measures the machine, `costs.py` says how much work an operation is, `recording.py` times operations
as they run, `modules.py` knows whose they are, `profile.py` puts these together. `sampling.py` and `flame.py` show
what Python does meanwhile, `roofline.py` and `page.py` make a page of it all.
"""

from quanta_tissu.tisslm.inspect.profile.machine import Machine, measure_machine
from quanta_tissu.tisslm.inspect.profile.profile import Profile, Row, Workload, profile

__all__ = ["Machine", "Profile", "Row", "Workload", "measure_machine", "profile"]
