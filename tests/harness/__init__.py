"""What the tests need beside the product: simulators on loopback, a second host, Postgres, a transit engine.

The canary network itself is `runtime.canary.net`; `fixtures.py` has it for pytest.
"""
