"""The egress proxy: the policy core (`proxy.policy`, pure) and the mitmproxy program around it.

Never imports `runtime`: this package is all that goes into the proxy image.
"""
