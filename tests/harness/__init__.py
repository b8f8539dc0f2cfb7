"""The canary network: every address an escape could reach, held by us and counted.

`CanaryNet` holds the simulators and canaries, `HostListener` a port of the host's own, `UplinkWatch` what
leaves by the machine's real interfaces. `fixtures.py` has them for pytest.
"""

from tests.harness.canary_net import CanaryNet
from tests.harness.errors import HarnessError
from tests.harness.host_listener import HostListener
from tests.harness.simulator import LoopbackSimulator
from tests.harness.uplink import UplinkWatch

__all__ = ["CanaryNet", "HarnessError", "HostListener", "LoopbackSimulator", "UplinkWatch"]
