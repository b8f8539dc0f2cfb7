"""The canary network: the exact addresses that attacks and escapes may reach, held here and counted.

`ground` chooses a range that the host does not use, `world` holds its addresses, `session` is both for
programs without an event loop. `HostListener` holds a port of the host's own, `UplinkWatch` sees what leaves
by the host's interfaces.
"""
